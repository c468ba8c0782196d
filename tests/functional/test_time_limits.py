"""Clients that take their time: each limit ends the offender and nobody else.

The limits are fractions of a second here; a slow machine only makes the offender wait longer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support import processes
from support.deadline import SLOWNESS, eventually
from support.http import ConnectionEndedError, encode
from support.server import Server, ServerFactory

LIMIT_S = 0.5
LONG_S = 600.0
EARLY = 0.9
"""A limit may be looked at on a coarse clock: this much of it must have passed."""

ONLY = {
    "header_timeout": LONG_S,
    "body_timeout": LONG_S,
    "write_timeout": LONG_S,
    "keepalive_timeout": LONG_S,
}


@pytest.fixture(params=[1, 4], ids=["inline", "threads"])
def limited(request: pytest.FixtureRequest, serve: ServerFactory) -> Iterator[object]:
    """Start a server with one short limit and all others far away."""

    def start(limit: str, seconds: float = LIMIT_S) -> Server:
        requests = {**ONLY, limit: seconds}
        return serve("probe:app", threads=request.param, settings={"requests": requests})

    return start


def sockets_of(pid: int) -> int:
    """How many sockets a process holds."""
    return sum(name.startswith("socket:") for name in processes.descriptors(pid).values())


def test_half_a_head_gets_408(limited) -> None:
    server = limited("header_timeout")
    with server.connect() as connection:
        start = time.monotonic()
        connection.send(b"GET / HTTP/1.1\r\nHost: te")
        answer = connection.read_response()
        assert time.monotonic() - start >= LIMIT_S * EARLY
        assert (answer.status, answer.closes) == (408, True)
        assert connection.ended()
        assert server.get("/").status == 200


def test_a_head_sent_byte_by_byte_does_not_stretch_the_limit(limited) -> None:
    server = limited("header_timeout", 1.0)
    with server.connect() as connection:
        start = time.monotonic()
        connection.send(b"GET / HTTP/1.1\r\n")
        connection.sock.settimeout(0.05)
        answered = False
        while not answered and time.monotonic() - start < 30 * SLOWNESS:
            connection.send(b"X: y\r\n")
            try:
                answered = b" 408 " in connection.sock.recv(4096)
            except TimeoutError:
                continue
        assert answered


def test_a_silent_connection_is_closed(limited) -> None:
    server = limited("header_timeout")
    with server.connect() as connection:
        start = time.monotonic()
        connection.read_to_end()
        assert time.monotonic() - start >= LIMIT_S * EARLY


def test_a_body_without_progress_gets_408(limited) -> None:
    server = limited("body_timeout")
    with server.connect() as connection:
        connection.send(encode("POST", "/echo", [("Content-Length", "10")]) + b"half")
        answer = connection.read_response()
        assert (answer.status, answer.closes) == (408, True)
        assert connection.ended()
    assert server.get("/").status == 200


def test_a_slow_body_with_progress_is_served(limited) -> None:
    limit = 1.5 * SLOWNESS
    server = limited("body_timeout", limit)
    pieces = [bytes([digit]) * 1000 for digit in b"0123456"]
    with server.connect() as connection:
        connection.send(encode("POST", "/echo", [("Content-Length", "7000")]))
        start = time.monotonic()
        for piece in pieces:
            time.sleep(limit / 5)  # the pace of the client is what is tested
            connection.send(piece)
        assert time.monotonic() - start > limit
        assert connection.read_response().body == b"".join(pieces)


def test_a_body_that_trickles_gets_408_though_there_is_progress(limited) -> None:
    server = limited("body_timeout")
    with server.connect() as connection:
        connection.send(encode("POST", "/echo", [("Content-Length", "100000")]))
        start = time.monotonic()
        connection.sock.settimeout(0.05)
        answered = False
        while not answered and time.monotonic() - start < 30 * SLOWNESS:
            connection.send(b"x")
            try:
                answered = b" 408 " in connection.sock.recv(4096)
            except TimeoutError:
                continue
        assert answered
        assert time.monotonic() - start >= LIMIT_S * EARLY


def test_a_client_that_reads_nothing_is_cut_off(limited) -> None:
    server = limited("write_timeout")
    (worker,) = server.workers()
    size = 100 * 1024 * 1024
    before = sockets_of(worker)
    with server.connect(receive_buffer=4096) as connection:
        connection.send(encode("GET", f"/big?size={size}"))
        connection.read_head()
        eventually(lambda: sockets_of(worker) == before, "the end of the connection that is not read from")
        with pytest.raises((ConnectionEndedError, ConnectionResetError)):
            connection.read_exactly(size)
    assert server.get("/").status == 200


def test_an_idle_connection_is_closed_without_a_word(limited) -> None:
    server = limited("keepalive_timeout")
    with server.connect() as connection:
        assert connection.get("/").status == 200
        start = time.monotonic()
        assert connection.ended()
        assert time.monotonic() - start >= LIMIT_S * EARLY


def test_a_busy_connection_outlives_the_keep_alive_limit(limited) -> None:
    server = limited("keepalive_timeout", 2.0 * SLOWNESS)
    with server.connect() as connection:
        start = time.monotonic()
        while time.monotonic() - start < 3.0 * SLOWNESS:
            assert connection.get("/").status == 200
            time.sleep(0.1)  # the pace of the client is what is tested
