"""Attackers, one kind at a time, beside a client that only wants its answer: it gets it, and the worker keeps nothing of them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.crowd import Crowd, crowd, need_descriptors, open_descriptors, resident_kib, wait_until_gone
from support.deadline import SLOWNESS
from support.gate import Gate
from support.http import encode
from support.measured import Measured
from support.server import Server, ServerFactory

BOUND_S = 1.0 * SLOWNESS
GROWTH_KIB = 48 * 1024
CLIENTS = 100

POST = b"POST /digest HTTP/1.1\r\nHost: t\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


def slow_heads(clients: Crowd) -> Iterator[None]:
    sockets = clients.join(CLIENTS, b"GET / HTTP/1.1\r\nHost: t\r\n")
    while True:
        for sock in sockets:
            clients.say(sock, b"X: y\r\n")
        yield


def slow_bodies(clients: Crowd) -> Iterator[None]:
    sockets = clients.join(CLIENTS, POST + b"Content-Length: 1000000\r\n\r\n")
    while True:
        for sock in sockets:
            clients.say(sock, b"x")
        yield


def slow_readers(clients: Crowd) -> Iterator[None]:
    sockets = clients.join(CLIENTS, encode("GET", f"/big?size={8 << 20}"), receive_buffer=4096)
    while True:
        for sock in sockets:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                sock.recv(100)
        yield


def fast_readers(clients: Crowd) -> Iterator[None]:
    sockets = clients.join(8, encode("GET", f"/big?size={1 << 40}"))
    while True:
        for sock in sockets:
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                sock.recv(1 << 20)
        yield


def half_closed(clients: Crowd) -> Iterator[None]:
    kinds = [
        b"",
        b"GET / HT",
        encode("GET", "/"),
        POST + b"Content-Length: 9\r\n\r\nx",
        encode("GET", f"/big?size={8 << 20}"),
    ]
    while True:
        for first in kinds:
            for sock in clients.join(10, first):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
        yield
        if len(clients.sockets) > 500:
            clients.close()


def connect_and_wait(clients: Crowd) -> Iterator[None]:
    while True:
        clients.join(100)
        yield
        if len(clients.sockets) > 1000:
            clients.close()


def endless_pipelining(clients: Crowd) -> Iterator[None]:
    sockets = clients.join(20)
    while True:
        for sock in sockets:
            clients.say(sock, encode("GET", "/") * 1000)
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                sock.recv(1 << 20)
        yield


def pipelining_without_reading(clients: Crowd) -> Iterator[None]:
    sockets = clients.join(20, receive_buffer=4096)
    while True:
        for sock in sockets:
            clients.say(sock, encode("GET", "/") * 1000)
        yield


def resets_at_every_stage(clients: Crowd) -> Iterator[None]:
    stages = [
        b"", b"G", b"GET / HTTP/1.1\r\nHost: t\r\n", encode("GET", "/"), POST + b"Content-Length: 100\r\n\r\nhalf",
        CHUNKED + b"5\r\nhe", encode("GET", f"/big?size={8 << 20}"), encode("GET", "/") * 50, b"\0", encode("GET", "/boom"),
    ]  # fmt: skip
    while True:
        for stage in stages:
            clients.join(5, stage)
            clients.reset()
        yield


def huge_heads(clients: Crowd) -> Iterator[None]:
    while True:
        clients.join(10, b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 1_000_000)
        clients.join(10, b"GET /" + b"a" * 1_000_000)
        yield
        clients.close()


def ten_thousand_header_lines(clients: Crowd) -> Iterator[None]:
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(10_000))
    while True:
        clients.join(10, b"GET / HTTP/1.1\r\nHost: t\r\n" + lines + b"\r\n")
        clients.join(10, b"GET / HTTP/1.1\r\nHost: t\r\n" + b"a:\r\n" * 8000)
        yield
        clients.close()


def chunks_of_one_byte(clients: Crowd) -> Iterator[None]:
    sockets = clients.join(20, CHUNKED)
    while True:
        for sock in sockets:
            clients.say(sock, b"1\r\nx\r\n" * 10_000)
        yield


def endless_chunk_extensions(clients: Crowd) -> Iterator[None]:
    while True:
        clients.join(10, CHUNKED + b"5;" + b"a" * 100_000)
        clients.join(10, CHUNKED + b"1;a=b\r\nx\r\n" * 10_000)
        clients.join(10, CHUNKED + b"0\r\n" + b"X: y\r\n" * 10_000)
        yield
        clients.close()


def bodies_announced_and_never_sent(clients: Crowd) -> Iterator[None]:
    clients.join(CLIENTS, POST + b"Content-Length: 104857600\r\n\r\n")
    clients.join(CLIENTS, POST + b"Content-Length: 104857600\r\nExpect: 100-continue\r\n\r\n")
    clients.join(CLIENTS, CHUNKED + b"6400000\r\n")
    while True:
        yield


def empty_lines(clients: Crowd) -> Iterator[None]:
    while True:
        clients.join(20, b"\r\n")
        clients.join(20, b"\r\n" * 20_000)
        yield
        clients.close()


ATTACKS = [
    slow_heads,
    slow_bodies,
    slow_readers,
    fast_readers,
    half_closed,
    connect_and_wait,
    endless_pipelining,
    pipelining_without_reading,
    resets_at_every_stage,
    huge_heads,
    ten_thousand_header_lines,
    chunks_of_one_byte,
    endless_chunk_extensions,
    bodies_announced_and_never_sent,
    empty_lines,
]


@pytest.fixture(scope="module", params=[1, 4], ids=["inline", "threads"])
def server(request: pytest.FixtureRequest, module_server_factory: ServerFactory) -> Iterator[Server]:
    need_descriptors()
    workers = {"count": 1, "threads": request.param}
    started = module_server_factory({"app": {"target": "probe:app"}, "workers": workers}).wait_ready()
    before = started.workers()
    yield started
    assert started.workers() == before, "no client may end a worker"
    started.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_nobody_else_notices(
    server: Server, measured: Measured, attack: Callable[[Crowd], Iterator[None]]
) -> None:
    (worker,) = server.workers()
    descriptors, memory = open_descriptors(worker), resident_kib(worker)
    took = []
    with crowd(server) as clients:
        rounds = attack(clients)
        for _ in range(20):
            next(rounds)
            start = time.monotonic()
            assert server.get("/").body == b"Hello, World!"
            took.append(time.monotonic() - start)
        grown = resident_kib(worker) - memory
        clients.reset()
    took.sort()
    measured(
        f"median {took[10] * 1000:.1f} ms, slowest {took[-1] * 1000:.0f} ms; memory {grown / 1024:+.1f} MiB"
    )
    assert took[10] < BOUND_S
    assert grown < GROWTH_KIB
    wait_until_gone([worker], descriptors)


def test_a_reset_while_the_application_runs_costs_nothing(server: Server, gate: Gate) -> None:
    (worker,) = server.workers()
    descriptors = open_descriptors(worker)
    with crowd(server) as clients:
        mark = server.mark()
        clients.join(1, encode("GET", f"/gate?path={gate.path}") + encode("GET", "/boom"))
        server.wait_for_log("at the gate", after=mark)
        clients.reset()
        gate.open(1)
    assert server.get("/").status == 200
    wait_until_gone([worker], descriptors)
    assert not server.log.search("RuntimeError: boom", mark), (
        "what a client that is gone had sent is not begun"
    )


def test_no_file_is_left_in_tmpdir(serve: ServerFactory, tmp_path: Path) -> None:
    server = serve("probe:app", environment={"TMPDIR": str(tmp_path)})
    (worker,) = server.workers()
    descriptors = open_descriptors(worker)
    with crowd(server) as clients:
        for sock in clients.join(5, POST + b"Content-Length: 10000000\r\n\r\n"):
            sock.setblocking(True)
            sock.sendall(b"x" * 1_000_000)
        assert server.get("/").status == 200
        assert list(tmp_path.glob("*prefork*")) == []
        clients.reset()
    wait_until_gone([worker], descriptors)
