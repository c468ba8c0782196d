"""How slow a client may be: bytes buy time, one now and then does not buy enough."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from prefork.worker.pace import extended, seconds_per_byte, unread
from support.serving import TIMES, FakeClock, station

LIMIT_S, RATE = 30.0, 100
PACED = replace(TIMES, body_s=LIMIT_S, write_s=LIMIT_S, s_per_byte=seconds_per_byte(RATE))


def time_of(bytes_each: int, every_s: float, rate: int, give_up_s: float = 10_000) -> float:
    """When a client that sends so much so often is cut off."""
    s_per_byte, now, deadline = seconds_per_byte(rate), 0.0, LIMIT_S
    while now < give_up_s:
        now += every_s
        if now > deadline:
            return deadline
        deadline = extended(deadline, now, LIMIT_S, bytes_each, s_per_byte)
    return give_up_s


@pytest.mark.parametrize("every_s", [0.01, 1.0, 29.0])
def test_a_byte_now_and_then_ends_soon_after_the_limit(every_s: float) -> None:
    assert LIMIT_S <= time_of(1, every_s, 240) <= LIMIT_S * (1.8 if every_s < 0.1 else 1.02)


def test_half_the_rate_lasts_twice_the_limit() -> None:
    assert time_of(50, 1.0, 100) == pytest.approx(2 * LIMIT_S, abs=1)


@pytest.mark.parametrize(("each", "every_s"), [(100, 1.0), (2900, 29.0), (200, 0.5)])
def test_the_rate_itself_lasts(each: int, every_s: float) -> None:
    assert time_of(each, every_s, 100) == 10_000


def test_the_reserve_is_never_more_than_the_limit() -> None:
    assert extended(10, 5, LIMIT_S, 10**12, 0.01) == 5 + LIMIT_S


def test_without_a_rate_any_byte_fills_the_reserve() -> None:
    assert extended(10, 5, LIMIT_S, 1, seconds_per_byte(0)) == 5 + LIMIT_S
    assert extended(10, 5, LIMIT_S, 0, seconds_per_byte(0)) == 10


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_what_the_other_side_has_not_taken_is_known(family: int) -> None:
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1", 0) if family == socket.AF_INET else b"\0prefork-test-%d" % id(listener))
        listener.listen()
        with socket.socket(family) as ours:
            ours.connect(listener.getsockname())
            with listener.accept()[0] as theirs:
                assert unread(ours.fileno()) == 0
                ours.setblocking(False)
                while True:
                    try:
                        ours.send(b"x" * 100_000)
                    except BlockingIOError:
                        break
                before = unread(ours.fileno())
                assert before > 0
                while theirs.recv(1 << 20, socket.MSG_DONTWAIT) and unread(ours.fileno()) == before:
                    pass
                assert unread(ours.fileno()) < before


def collect(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return [b"%d" % len(environ["wsgi.input"].read())]


def test_a_trickled_body_is_refused() -> None:
    clock = FakeClock()
    with station(collect, clock=clock, times=PACED) as worker:
        client = worker.connect(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n")
        start = clock.now
        while clock.now < start + 100:
            clock.now += 1
            client.send(b"x" * 10)
            worker.turn()
            if b"408" in client.read_some():
                break
        assert 30 <= clock.now - start <= 36  # a tenth of the rate: 30 / (1 - 0.1), and the wheel's second


def test_a_steady_body_is_taken_however_long_it_takes() -> None:
    clock = FakeClock()
    with station(collect, clock=clock, times=PACED) as worker:
        client = worker.connect(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 30000\r\n\r\n")
        for _ in range(300):
            clock.now += 1
            client.send(b"x" * RATE)
            worker.turn()
        assert client.ask(b"").endswith(b"30000\r\n0\r\n\r\n") or client.received.endswith(b"30000")


def large(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return [b"x" * 10_000_000]


def test_a_reader_that_takes_less_than_a_part_of_the_queue_is_still_reading() -> None:
    """The socket reports room when a good part of its queue is free; until then only the kernel knows that the client reads."""
    clock = FakeClock()
    with station(large, clock=clock, times=PACED) as worker:
        client = worker.connect(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert client.connection is not None
        for _ in range(4):
            clock.now += LIMIT_S * 0.6
            client.sock.recv(35_000)  # unix(7) counts whole buffers of 32 KiB
            assert not select.select([], [client.connection._sock], [], 0)[1], "the socket has no room yet"
            worker.turn()
            assert client.connection in worker.members
        for _ in range(5):
            clock.now += LIMIT_S
            worker.turn()
        assert client.connection not in worker.members


def test_a_body_of_very_many_chunks_is_decoded_a_part_a_turn() -> None:
    chunks = 5000
    body = b"1\r\nx\r\n" * chunks + b"0\r\n\r\n"
    with station(collect) as worker:
        client = worker.connect(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        turns = 0
        while not client.read_some():
            worker.turn()
            turns += 1
            assert turns < chunks
        assert client.received.endswith(b"%d" % chunks) or b"\r\n%d\r\n" % chunks in client.received
        assert turns > 20


def test_a_client_that_leaves_in_the_middle_of_very_many_chunks_is_forgotten() -> None:
    with station(collect) as worker:
        client = worker.connect(
            b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5000
        )
        worker.turn()
        client.close()
        worker.until(lambda: not worker.members, "the end of the connection")
        assert worker.log.events == []
