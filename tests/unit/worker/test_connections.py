"""The registry of connections: who is evicted, who is limited when the worker drains."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from prefork.worker.connection import Phase
from prefork.worker.connections import HEAD_PATIENCE_S
from prefork.wsgi.handler import WSGIRequestHandler
from support.serving import Client, FakeClock, Station, hello, station

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def made(clock: FakeClock) -> Iterator[Station]:
    with station(hello, clock=clock) as made:
        yield made


def idle(made: Station, clock: FakeClock) -> Client:
    """A connection that has been idle since now; a second later."""
    client = made.connect(GET)
    assert client.connection is not None
    assert client.connection.phase is Phase.IDLE
    clock.now += 1.0
    return client


def test_longest_idle_first(made: Station, clock: FakeClock) -> None:
    clients = [idle(made, clock) for _ in range(4)]
    clients[0].ask(GET)
    assert made.connections.close_idle(2) == 2
    assert [client.ended() for client in clients] == [False, True, True, False]
    assert len(made.connections) == 2


def test_who_is_served_is_not_evicted(made: Station, clock: FakeClock) -> None:
    busy = [
        made.connect(b"GET /"),
        made.connect(GET[:-2]),
        made.connect(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n"),
    ]
    assert made.connections.close_idle() == 0
    assert not any(client.ended() for client in busy)
    fresh = made.connect()
    assert made.connections.close_idle() == 1
    assert fresh.ended()


def test_none_and_fewer_than_asked(made: Station, clock: FakeClock) -> None:
    assert made.connections.close_idle(5) == 0
    idle(made, clock)
    assert made.connections.close_idle(5) == 1
    assert made.connections.close_idle() == 0


def test_room_is_announced(made: Station, clock: FakeClock) -> None:
    calls: list[int] = []
    made.connections.on_room = lambda: calls.append(len(made.connections))
    for _ in range(3):
        idle(made, clock)
    made.connections.close_idle(2)
    assert calls == [2, 1]


def test_closing_twice_counts_once(made: Station, clock: FakeClock) -> None:
    calls: list[int] = []
    made.connections.on_room = lambda: calls.append(len(made.connections))
    client = idle(made, clock)
    assert client.connection is not None
    client.connection.close()
    client.connection.close()
    assert calls == [0]


def test_drain_limits_silent_connections_and_cuts_nobody(made: Station, clock: FakeClock) -> None:
    fresh, waiting, half = made.connect(), idle(made, clock), made.connect(b"GET /")
    made.connections.drain()
    assert not any(client.ended() for client in (fresh, waiting, half))
    assert fresh.connection is not None
    assert fresh.connection.deadline <= clock.now + 5.0
    assert half.connection is not None
    assert half.connection.deadline > clock.now + 5.0
    assert b"Connection: close" in half.send(b" HTTP/1.1\r\nHost: t\r\n\r\n").read_to_end()


def test_requests_are_counted(made: Station) -> None:
    made.connect(GET * 3).ask(b"")
    made.until(lambda: made.connections.requests == 3, "three requests")


def test_room_is_made_by_idle_ones_first_then_by_slow_heads(made: Station, clock: FakeClock) -> None:
    slow = [made.connect(b"GET / HT") for _ in range(3)]
    clock.now += HEAD_PATIENCE_S + 1
    made.turn()
    quick = made.connect(b"GET / HT")
    body = made.connect(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n")
    rests = idle(made, clock)
    made.turn()
    assert made.connections.make_room(2) == 1
    assert rests.ended()
    assert made.connections.make_room(2) == 2
    assert made.connections.make_room(9) == 1
    assert all(client.ended() and b" 503 " in client.received for client in slow)
    assert made.connections.make_room(9) == 0
    assert not quick.ended()
    assert not body.ended()


# No room for another watch ---------------------------------------------------------------------------------------------


def no_more_watches(made: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel answers when the user has as many as fs.epoll.max_user_watches allows."""
    epoll = made.loop._epoll

    class Full:
        def register(self, fd: int, events: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def __getattr__(self, name: str) -> Any:
            return getattr(epoll, name)

    monkeypatch.setattr(made.loop, "_epoll", Full())


@pytest.mark.parametrize("threads", [1, 3])
def test_a_connection_that_cannot_be_watched_ends_and_the_others_go_on(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x" * 1_000_000] * 3)

        def close(self) -> None:
            closed.append(1)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "3000000" if environ["PATH_INFO"] == "/big" else "2")])
        return Body() if environ["PATH_INFO"] == "/big" else [b"ok"]

    with station(app, threads=threads) as made:
        healthy = made.connect()
        assert healthy.ask().endswith(b"ok")
        no_more_watches(made, monkeypatch)
        silent = made.connect()
        assert silent.ended()
        full = made.connect(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n", sndbuf=1)
        made.until(lambda: len(made.members) == 1, "the end of the one that cannot wait")
        assert closed == [1]
        assert full.ended()
        assert healthy.ask().endswith(b"ok")
        assert set(made.log.events) == {"not_watched", "bad_response"}


def test_a_handler_that_cannot_be_made_leaves_its_room() -> None:
    class Broken(WSGIRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            raise ValueError("no")

    with station(hello, handler_class=Broken) as made:
        room: list[int] = []
        made.connections.on_room = lambda: room.append(1)
        ours, theirs = socket.socketpair()
        with ours:
            made.connections.open(theirs, ("127.0.0.1", 1), {})
            assert ours.recv(1) == b""
        assert room == [1]


def test_no_keep_alive() -> None:
    with station(hello) as made:
        made.connections.end_after_response()
        client = made.connect(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert b"\r\nConnection: close\r\n" in client.read_to_end()
