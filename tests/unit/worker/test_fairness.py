"""One client never holds the others: what a turn of the loop does for one connection is bounded."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from prefork.worker.connection import Phase
from prefork.worker.sender import TURN_BYTES
from prefork.worker.timers import MAX_DUE
from support.serving import FakeClock, hello, station

Start = Callable[..., Any]

GET = b"GET /%b HTTP/1.1\r\nHost: t\r\n\r\n"


class EagerSocket:
    """A peer that takes everything at once, as one on loopback may."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.taken = 0

    def send(self, data: bytes) -> int:
        self.taken += len(data)
        return len(data)

    def sendmsg(self, pieces: tuple[bytes, ...]) -> int:
        return self.send(b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


@pytest.mark.parametrize("size", [1000, 50_000], ids=["small pieces", "large pieces"])
def test_a_client_that_reads_as_fast_as_we_write_does_not_hold_the_loop(size: int) -> None:
    made = 0

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        nonlocal made
        start_response("200 OK", [("Content-Length", str(8 * TURN_BYTES))])
        while made < 8 * TURN_BYTES:
            piece = min(size, 8 * TURN_BYTES - made)
            made += piece
            yield b"x" * piece

    with station(app) as worker:
        client = worker.connect()
        assert client.connection is not None
        sender = client.connection._sender
        sender._sock = eager = EagerSocket(sender._sock)  # type: ignore[assignment]
        client.send(GET % b"")
        turns, before = 0, 0
        while made < 8 * TURN_BYTES:
            worker.turn()
            turns += 1
            assert made - before <= TURN_BYTES + size, "a turn is over after TURN_BYTES"
            before = made
            assert turns < 100
        worker.settle()
        assert turns >= 6
        assert eager.taken > 8 * TURN_BYTES
        assert worker.access.lines == [("/", 200, 8 * TURN_BYTES)]


@pytest.mark.parametrize("threads", [1, 4])
def test_each_request_has_a_context_of_its_own(threads: int) -> None:
    """Flask, Werkzeug and others keep the current request in a context variable; a body that waits for its client must not
    see the one of another request, whatever thread goes on with it, and must be able to reset it."""
    current: ContextVar[str] = ContextVar("current")
    seen: dict[str, set[str]] = {}

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        assert current.get(None) is None
        token = current.set(environ["PATH_INFO"])
        start_response("200 OK", [])
        try:
            for _ in range(20):
                seen.setdefault(environ["PATH_INFO"], set()).add(current.get())
                yield b"x" * 40_000
        finally:
            current.reset(token)

    with station(app, threads=threads) as worker:
        clients = [worker.connect(GET % name, sndbuf=4608) for name in (b"a", b"b", b"c", b"d")]
        worker.until(
            lambda: all(client.read_some().endswith(b"\r\n0\r\n\r\n") for client in clients), "the bodies"
        )
        worker.settle()
        assert worker.log.events == []
    assert seen == {"/" + name: {"/" + name} for name in "abcd"}


def test_a_flood_that_ends_at_once_is_dealt_with_a_part_a_turn() -> None:
    clock = FakeClock()
    with station(hello, clock=clock) as worker:
        clients = [worker.connect(b"GET / HT") for _ in range(3 * MAX_DUE)]
        clock.now += 12
        left = [len(worker.members)]
        while left[-1]:
            worker.turn()
            left.append(sum(member.phase is Phase.HEAD for member in worker.members))
        assert left == [3 * MAX_DUE, 2 * MAX_DUE, MAX_DUE, 0]
        assert all(b" 408 " in client.read_some() for client in clients)


def test_a_large_body_waits_on_disk_for_its_reader_and_nowhere_else() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        return [bytes(5_000_000)]

    tracemalloc.start()
    try:
        clock = FakeClock()
        with station(app, clock=clock) as worker:
            worker.connect(GET % b"")
            clock.now += 2.0  # for a moment it stays where the application has put it
            worker.turn(60)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
