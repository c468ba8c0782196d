"""A thread that does not come back is answered for, once, and what it says later reaches nobody: at any moment, very often."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefork.worker.takeover import Claim, Takeovers
from prefork.worker.timers import DeadlineWheel
from prefork.wsgi.response import ClientGoneError
from support.measured import Measured
from support.serving import Client, FakeClock, Station, station
from support.wire import parse_answers

REQUESTS = 3000


class Answers:
    """What would be a connection."""

    def __init__(self) -> None:
        self.given = 0

    def answer_instead(self) -> None:
        self.given += 1


@pytest.fixture
def _threads_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


# The claim ------------------------------------------------------------------------------------------------------------


def test_the_first_to_ask_has_it() -> None:
    ours, theirs = Claim(Answers()), Claim(Answers())
    assert ours.take()
    assert not ours.revoke()
    assert ours.take()
    assert ours.end()
    assert theirs.revoke()
    assert not theirs.revoke()
    assert not theirs.take()
    assert not theirs.end()


def test_reading_needs_it_only_for_a_moment() -> None:
    claim = Claim(Answers())
    assert claim.use(lambda size: b"x" * size, 3) == b"xxx"
    assert claim.revoke()
    with pytest.raises(ConnectionAbortedError):
        claim.use(lambda size: b"x" * size, 3)


def test_reading_after_the_response_began_keeps_it() -> None:
    claim = Claim(Answers())
    assert claim.take()
    claim.use(lambda _size: b"x", 1)
    assert not claim.revoke()


@pytest.mark.usefixtures("_threads_switch_often")
def test_one_of_two_has_it_whenever_they_ask(measured: Measured) -> None:
    """The thread reads, then answers; the loop asks in between, before, after."""
    rng = random.Random(1)
    had = {"thread": 0, "loop": 0}
    for _ in range(2000):
        answers = Answers()
        claim = Claim(answers)
        said: list[bool] = []
        start = threading.Barrier(2)

        def work(claim: Claim = claim, said: list[bool] = said, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                for _ in range(3):
                    claim.use(lambda _size: b"", 1)
            except ConnectionAbortedError:
                pass
            said.append(claim.take())

        thread = threading.Thread(target=work)
        thread.start()
        start.wait()
        for _ in range(rng.randrange(4000)):
            pass
        claim.answer()
        thread.join()
        assert said[0] != bool(answers.given)
        had["thread" if said[0] else "loop"] += 1
    measured(str(had))
    assert min(had.values()) > 0


# Waiting a moment -----------------------------------------------------------------------------------------------------


def test_an_interrupted_thread_has_a_moment() -> None:
    clock = FakeClock()
    wheel = DeadlineWheel(5.0)
    takeovers = Takeovers(clock, wheel.watch_exactly, moment_s=0.5)
    first, second, late = Answers(), Answers(), Answers()
    claims = [Claim(first), Claim(second), Claim(late)]
    takeovers.expect(claims[0])
    takeovers.expect(claims[1])
    takeovers.expect(claims[0])  # the master asks again each second
    assert wheel.timeout_s(clock()) == 0.5
    assert claims[1].take()
    clock.now += 0.25
    takeovers.expect(claims[2])
    clock.now += 0.25
    assert wheel.due(clock()) == [takeovers]
    takeovers.expire()
    assert (first.given, second.given, late.given) == (1, 0, 0)
    assert wheel.timeout_s(clock()) == 0.25
    clock.now += 0.25
    assert wheel.due(clock()) == [takeovers]
    takeovers.expire()
    assert late.given == 1
    assert wheel.timeout_s(clock()) == -1


# Connections ----------------------------------------------------------------------------------------------------------


class Stuck:
    """An application that says `entered`, waits for `leave`, then does what the test says."""

    def __init__(self, then: Callable[[dict[str, Any], Callable[..., Any]], Any]) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()
        self.then = then

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.entered.set()
        self.leave.wait()
        return self.then(environ, start_response)


def taken_over(
    made: Station, application: Stuck, request: bytes = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
) -> Client:
    """A client whose request was answered by the loop."""
    claims: list[Claim] = []
    made.connections.on_claim = lambda _number, claim: claims.append(claim)
    client = made.connect(request)
    made.until(application.entered.is_set, "the application")
    claims[0].answer()
    return client


def late_whole(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return [b"late"]


def late_pieces(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"late"


def late_write(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    write = start_response("200 OK", [])
    with pytest.raises(ClientGoneError):
        write(b"late")
    return [b"later"]


def late_error(_environ: dict[str, Any], _start_response: Callable[..., Any]) -> list[bytes]:
    raise ValueError("late")


@pytest.mark.parametrize("then", [late_whole, late_pieces, late_write, late_error])
def test_what_comes_late_is_for_nobody(then: Callable[..., Any]) -> None:
    application = Stuck(then)
    with station(application, threads=2) as made:
        client = taken_over(made, application)
        (answer,) = parse_answers(client.read_to_end(), "GET")
        assert (answer.status, answer.body) == (503, b"503 Service Unavailable\n")
        assert made.access.lines == [("/", 503, 24)]
        client.close()
        made.until(lambda: not made.members, "the end of the connection")
        assert made.connections.overdue == 1
        application.leave.set()
        made.settle()
        assert made.connections.overdue == 0
        assert len(made.access.lines) == 1
        events = [event for event in made.log.events if event != "traceback"]
        raised = ["request_failed"] if then is late_error else []
        assert events == ["request_taken_over", *raised, "request_came_back"]


def test_the_answer_to_head_has_no_body() -> None:
    application = Stuck(late_whole)
    with station(application, threads=2) as made:
        client = taken_over(made, application, b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n")
        (answer,) = parse_answers(client.read_to_end(), "HEAD")
        assert (answer.status, answer.body) == (503, b"")
        application.leave.set()
        made.settle()


def test_a_body_that_is_read_late_is_not_read_from_the_socket() -> None:
    seen: list[BaseException] = []

    def read_late(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            seen.append(error)
        return late_whole(environ, start_response)

    application = Stuck(read_late)
    with station(application, threads=2, buffer_bodies=False) as made:
        request = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab"
        client = taken_over(made, application, request)
        client.send(b"cde")
        application.leave.set()
        made.settle()
        (answer,) = parse_answers(client.read_to_end(), "POST")
        assert answer.status == 503
        assert len(seen) == 1


def test_after_the_first_byte_the_loop_is_too_late() -> None:
    begun, leave = threading.Event(), threading.Event()

    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        yield b"a"
        begun.set()
        leave.wait()
        yield b"b"

    claims: list[Claim] = []
    with station(application, threads=2) as made:
        made.connections.on_claim = lambda _number, claim: claims.append(claim)
        client = made.connect(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        made.until(begun.is_set, "the first byte")
        claims[0].answer()
        leave.set()
        made.settle()
        made.turn()
        (answer,) = parse_answers(client.read_some(), "GET")
        assert (answer.status, answer.body) == (200, b"ab")


# Any moment -----------------------------------------------------------------------------------------------------------


class Asking:
    """A client of the storm: one request after the other, and each has exactly one answer."""

    def __init__(self, made: Station) -> None:
        self._made = made
        self._client: Client | None = None
        self._wanted = b""
        self.counts = {200: 0, 503: 0}

    def turn(self, number: int) -> bool:
        """Asks for `number` if nothing is on its way. True: it did."""
        if self._client is None:
            self._client = self._made.connect()
        client = self._client
        if self._wanted:
            received = client.read_some()
            head, found, body = received.partition(b"\r\n\r\n")
            if found and head.startswith(b"HTTP/1.1 503"):
                assert body == b"503 Service Unavailable\n"
                if not client.ended():
                    return False
                assert client.received == received
                client.close()
                self._client, self._wanted = None, b""
                self.counts[503] += 1
            elif found and len(body) >= len(self._wanted):
                assert (head[:12], body) == (b"HTTP/1.1 200", self._wanted)
                client.received = b""
                self._wanted = b""
                self.counts[200] += 1
            return False
        self._wanted = b"answer to %d" % number
        client.send(b"GET /%d HTTP/1.1\r\nHost: t\r\n\r\n" % number)
        return True

    @property
    def at_rest(self) -> bool:
        return not self._wanted


def storm_application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """Takes about as long as the loop waits; answers whole, in pieces, or by write()."""
    number = int(environ["PATH_INFO"][1:])
    time.sleep(random.choice([0, 0.0001, 0.0005]))
    body = b"answer to %d" % number
    write = start_response("200 OK", [("Content-Length", str(len(body)))])
    if number % 3 == 0:
        write(body)
        return []
    return [body] if number % 3 == 1 else iter([body[:3], body[3:]])


@pytest.mark.usefixtures("_threads_switch_often")
def test_one_answer_each_whoever_gives_it(measured: Measured) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    rng = random.Random()
    waiting: list[tuple[float, Claim]] = []
    with station(storm_application, threads=4) as made:
        made.connections.on_claim = lambda _number, claim: waiting.append(
            (time.monotonic() + rng.choice([0, 0.0002, 0.0005, 0.001]), claim)
        )
        clients = [Asking(made) for _ in range(6)]
        asked = 0

        def over() -> bool:
            nonlocal asked, waiting
            for client in clients:
                if asked < REQUESTS:
                    asked += client.turn(asked)
                elif not client.at_rest:
                    client.turn(asked)
            for each in list(waiting):
                if each[0] <= time.monotonic():
                    waiting.remove(each)
                    each[1].answer()
            return asked >= REQUESTS and all(client.at_rest for client in clients)

        made.until(over, "all answers")
        made.settle()
        counts = {status: sum(client.counts[status] for client in clients) for status in (200, 503)}
        measured(f"{asked} requests: {counts}")
        assert sum(counts.values()) == REQUESTS
        assert min(counts.values()) > REQUESTS / 100
        assert made.connections.overdue == 0
        assert (
            sorted(status for _, status, _ in made.access.lines) == [200] * counts[200] + [503] * counts[503]
        )
        assert set(made.log.events) == {"request_taken_over", "request_came_back"}
        assert made.log.events.count("request_came_back") == counts[503]
        for client in list(made.clients):
            client.close()
        made.until(lambda: not made.members, "the end of all connections")
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
