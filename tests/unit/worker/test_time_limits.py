"""Time limits, with a clock that passes when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefork.worker.connection import LINGER_S, Phase
from prefork.worker.connections import TimeLimits
from support.serving import Client, FakeClock, Station, hello, station
from support.wire import parse_answer

Start = Callable[..., Any]

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
LATE_S = 1.0
"""The resolution of the deadline wheel."""


@pytest.fixture(params=[1, 3], ids=["inline", "threads"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def passes(made: Station, clock: FakeClock, seconds: float) -> None:
    """Time passes for an idle loop: it wakes when the wheel says so, and at the end."""
    end = clock.now + seconds
    while clock.now < end:
        timeout = made.loop._wheel.timeout_s(clock.now)
        clock.now = min(end, clock.now + timeout) if timeout >= 0 else end
        made.turn()


def lives_for(made: Station, clock: FakeClock, client: Client, seconds: float) -> None:
    """The connection is left alone for `seconds`, and ended at most LATE_S after that."""
    passes(made, clock, seconds - 0.01)
    assert not client.ended()
    passes(made, clock, LATE_S + 0.02)
    assert client.ended()


def test_a_silent_client_is_closed_without_a_word() -> None:
    clock = FakeClock(1000.3)
    with station(hello, clock=clock) as made:
        client = made.connect()
        lives_for(made, clock, client, 10.0)
        assert client.received == b""
        assert not len(made.connections)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_head_in_drops_gets_408(fresh: bool) -> None:
    clock = FakeClock(1000.7)
    with station(hello, clock=clock) as made:
        client = made.connect()
        if not fresh:
            client.ask(GET)
            client.received = b""
            passes(made, clock, 2.0)
        client.send(b"G")
        made.turn()
        for _ in range(9):
            passes(made, clock, 1.0)
            client.send(b"E")
        lives_for(made, clock, client, 1.0)
        assert parse_answer(client.read_to_end()).status == 408


def test_a_body_may_take_long_as_long_as_it_moves() -> None:
    clock = FakeClock()
    with station(hello, clock=clock) as made:
        client = made.connect(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n")
        for _ in range(20):
            passes(made, clock, 19.0)
            assert not client.ended()
            client.send(b"x")
            made.turn()
        lives_for(made, clock, client, 20.0)
        assert parse_answer(client.read_to_end()).status == 408


def test_an_idle_connection_ends_in_time(threads: int) -> None:
    clock = FakeClock()
    with station(hello, clock=clock, threads=threads) as made:
        client = made.connect()
        for _ in range(3):
            client.ask(GET)
            made.settle()
            passes(made, clock, 4.0)
            assert not client.ended()
        client.ask(GET)
        made.settle()
        lives_for(made, clock, client, 5.0)
        assert not len(made.connections)


@pytest.mark.parametrize("before", ["silence", "head", "body"])
def test_the_keep_alive_limit_holds_whatever_limit_ran_before(threads: int, before: str) -> None:
    clock = FakeClock()
    times = TimeLimits(header_s=100.0, body_s=200.0, write_s=300.0, keepalive_s=5.0)
    with station(hello, clock=clock, threads=threads, times=times) as made:
        client = made.connect()
        made.turn()
        raw = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx"
        for cut in {"silence": [], "head": [10], "body": [len(raw) - 1]}[before]:
            client.send(raw[:cut])
            made.turn()
            raw = raw[cut:]
        client.ask(raw)
        made.settle()
        lives_for(made, clock, client, 5.0)


@pytest.mark.parametrize("keepalive_s", [1.0, 5.0, 60.0])
def test_the_keep_alive_limit_holds_after_a_long_request(threads: int, keepalive_s: float) -> None:
    clock = FakeClock()
    times = TimeLimits(header_s=2.0, body_s=2.0, write_s=2.0, keepalive_s=keepalive_s)

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        clock.now += 77.5
        return hello(environ, start_response)

    with station(app, clock=clock, threads=threads, times=times) as made:
        client = made.connect()
        made.turn()
        for _ in range(3):
            client.ask(GET)
            made.settle()
        lives_for(made, clock, client, keepalive_s)


def test_a_client_that_does_not_read_is_given_up(threads: int) -> None:
    closed: list[bool] = []
    dropped: list[BaseException] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            return b"x" * 10_000

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [])
        return Body()

    from prefork.wsgi.handler import WSGIRequestHandler

    class Handler(WSGIRequestHandler):
        def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
            dropped.append(error)

    clock = FakeClock()
    with station(app, clock=clock, threads=threads, handler_class=Handler) as made:
        client = made.connect(GET, sndbuf=1)
        assert client.connection is not None
        connection = client.connection
        made.until(lambda: connection.phase is Phase.FLUSH, "a full socket")
        for _ in range(3):
            passes(made, clock, 29.0)  # it reads a little, now and then
            client.sock.recv(100_000)
            made.until(lambda: connection.phase is Phase.FLUSH, "a full socket")
            made.turn(2)
        passes(made, clock, 29.0)
        assert not closed
        passes(made, clock, 2.1)
        made.until(lambda: closed, "close()")
        assert [str(error) for error in dropped] == ["the client did not read its response in time"]
        made.settle()
        passes(made, clock, LINGER_S + LATE_S)
        assert not len(made.connections)
        assert closed == [True]


def test_lingering_ends(threads: int) -> None:
    clock = FakeClock()
    with station(hello, clock=clock, threads=threads) as made:
        client = made.connect(b"NONSENSE\r\n")
        made.turn()
        for _ in range(4):
            passes(made, clock, LINGER_S / 4 - 0.01)
            assert len(made.connections) == 1
            client.send(b"more")
        passes(made, clock, LATE_S + 0.1)
        assert not len(made.connections)


def test_lingering_has_its_time_also_after_a_long_request() -> None:
    # The loop's idea of now is as old as the turn: with threads = 1, as old as the request.
    clock = FakeClock()

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        clock.now += 60.0
        start_response("200 OK", [("Connection", "close")])
        return [b"x"]

    with station(app, clock=clock) as made:
        client = made.connect()
        client.send(GET)
        made.turn()
        client.send(b"more that is on its way")
        passes(made, clock, LINGER_S - 0.1)
        assert len(made.connections) == 1
        assert parse_answer(client.read_to_end()).body == b"x"


def test_a_connection_accepted_after_a_long_request_has_its_time() -> None:
    clock = FakeClock()
    with station(hello, clock=clock) as made:
        made.turn()
        clock.now += 60.0  # the application had the thread, in this turn
        client = made.connect()
        passes(made, clock, 9.9)
        assert not client.ended()


def test_a_half_request_behind_a_long_one_has_its_time() -> None:
    clock = FakeClock()

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        clock.now += 60.0
        return hello(environ, start_response)

    with station(app, clock=clock) as made:
        client = made.connect(GET + b"GET / HT")
        made.turn()
        client.read_some()
        client.received = b""
        passes(made, clock, 9.9)
        assert not client.ended()
        assert client.received == b""
        assert b"200 OK" in client.ask(b"TP/1.1\r\nHost: t\r\n\r\n")


def test_no_limit_runs_while_the_application_works() -> None:
    clock = FakeClock()
    release: list[Any] = []

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        import threading

        event = threading.Event()
        release.append(event)
        assert event.wait(30)
        return hello(environ, start_response)

    with station(app, clock=clock, threads=2) as made:
        client = made.connect(GET)
        made.until(lambda: release, "the application")
        passes(made, clock, 1000.0)
        assert not client.ended()
        release[0].set()
        assert b"200 OK" in client.ask(b"")


def test_an_idle_worker_sleeps() -> None:
    clock = FakeClock()
    with station(hello, clock=clock) as made:
        client = made.connect()
        client.ask(GET)
        client.close()
        made.until(lambda: not len(made.connections), "the end")
        assert made.loop._wheel.timeout_s(clock.now) == -1
