"""The ordinary request in one piece against the steps of Python: the same bytes, environ, log, accounts and state afterwards."""

from __future__ import annotations

import gc
import importlib.util
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prefork.errors import RequestTimeout
from prefork.ipc.seat import here
from prefork.speedups import fastpath
from prefork.worker.connection import Connection, Phase
from prefork.worker.fastpath import use_fast_path
from prefork.worker.interruption import Interruptions
from prefork.worker.outbox import MEMORY_BYTES
from prefork.wsgi.after import after_response
from prefork.wsgi.handler import WSGIRequestHandler
from support.child import run
from support.serving import AccessLines, FakeClock, Station, hello, station

pytestmark = pytest.mark.skipif(fastpath is None, reason="not compiled")

Start = Callable[..., Any]
App = Callable[[dict[str, Any], Start], Any]

GET = b"GET /a?b HTTP/1.1\r\nHost: t\r\n\r\n"


# Applications -------------------------------------------------------------------------------------------------------------


def ordinary(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    body = environ["PATH_INFO"].encode() + environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def responding(status: str, headers: list[tuple[str, str]], body: Any) -> App:
    def app(_environ: dict[str, Any], start_response: Start) -> Any:
        start_response(status, headers)
        return body() if callable(body) else body

    return app


def raising(error: BaseException, before: bool = True) -> App:
    def app(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
        if not before:
            start_response("200 OK", [("Content-Length", "2")])
        raise error

    return app


class Body:
    """Counts its close()."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"o"
        yield b"k"

    def close(self) -> None:
        self.closed += 1


def writing(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "4")])(b"ab")
    return [b"cd"]


def hinting(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    environ["wsgi.early_hints"]([("Link", "</a.css>")])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def leaving_work(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
    after_response(lambda: DONE.append(here.seat.number))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


DONE: list[int] = []


def twice(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    start_response("500 No", [("Content-Length", "2")])
    return [b"ok"]


def keeping(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", [("Content-Length", "0")])
    environ["prefork.kept"] = environ
    return [b""]


LENGTH = [("Content-Length", "2")]
APPS: dict[str, App] = {
    "ordinary": ordinary,
    "no length": hello,
    "tuple": responding("200 OK", LENGTH, (b"ok",)),
    "two pieces": responding("200 OK", LENGTH, [b"o", b"k"]),
    "no piece": responding("200 OK", [("Content-Length", "0")], []),
    "empty piece": responding("200 OK", [("Content-Length", "0")], [b""]),
    "generator": responding("200 OK", LENGTH, lambda: iter([b"o", b"k"])),
    "own iterable": responding("200 OK", LENGTH, Body),
    "too short": responding("200 OK", [("Content-Length", "9")], [b"ok"]),
    "too long": responding("200 OK", LENGTH, [b"okay"]),
    "large": responding("200 OK", [("Content-Length", "30000")], [b"x" * 30000]),
    "very large": responding("200 OK", [("Content-Length", "700000")], [b"x" * 700000]),
    "no bytes": responding("200 OK", LENGTH, ["ok"]),
    "bytes alone": responding("200 OK", LENGTH, b"ok"),
    "nothing": responding("200 OK", LENGTH, None),
    "never started": lambda _environ, _start: [b"ok"],
    "204": responding("204 No Content", [], [b""]),
    "304": responding("304 Not Modified", LENGTH, [b"ok"]),
    "404": responding("404 Not Found", LENGTH, [b"no"]),
    "close": responding("200 OK", [*LENGTH, ("Connection", "close")], [b"ok"]),
    "date": responding("200 OK", [*LENGTH, ("Date", "Thu, 01 Jan 1970 00:00:00 GMT")], [b"ok"]),
    "server": responding("200 OK", [*LENGTH, ("Server", "mine")], [b"ok"]),
    "huge length": responding("200 OK", [("Content-Length", "9" * 19)], [b"ok"]),
    "bad header": responding("200 OK", [("A", "b\n")], [b"ok"]),
    "bad status": responding("20", [], [b"ok"]),
    "twice": twice,
    "write": writing,
    "hints": hinting,
    "work afterwards": leaving_work,
    "raises": raising(ValueError("x")),
    "raises late": raising(ValueError("x"), before=False),
    "exits": raising(SystemExit(3)),
    "times out": raising(RequestTimeout()),
    "keeps its environ": keeping,
}

REQUESTS = {
    "ordinary": GET,
    "HEAD": b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n",
    "1.0": b"GET / HTTP/1.0\r\n\r\n",
    "1.0 that stays": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "closes": b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
    "body": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello",
    "no body": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "pipelined": GET + GET + GET,
    "body, and more": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello" + GET,
    "an empty line before": b"\r\n" + GET,
    "an empty line after": GET + b"\r\n",
    "refused": b"GET / HTTP/1.1\r\nHost: t\r\nA : b\r\n\r\n",
    "refused body": b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999\r\n\r\nhello",
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "absolute": b"GET http://u/x HTTP/1.1\r\nHost: t\r\n\r\n",
}


# Comparing ----------------------------------------------------------------------------------------------------------------


def outcome(app: App, sendings: list[bytes], fast: bool, **options: Any) -> dict[str, Any]:
    """All that there is to see of one connection on which `sendings` come, one after the other is answered."""
    environs: list[dict[str, str]] = []

    def noting(environ: dict[str, Any], start_response: Start) -> Any:
        environs.append({key: _plain(value) for key, value in environ.items()})
        return app(environ, start_response)

    DONE.clear()
    seat = here.seat
    with station(noting, fast=fast, **options) as made:
        assert (made.connections.fast_read is not None) == fast
        before = (seat.number, _account())
        client = made.connect()
        states = []
        for data in sendings:
            try:
                client.send(data)
            except OSError:
                break
            made.until(lambda: not _unread(client), "the end of what was sent")
            made.turn(3)
            client.read_some()
            made.until(lambda: not made.connections.answering or client.ended(), "rest")
            made.turn(3)
            client.read_some()
            states.append(_state(client.connection))
        client.ended()
        after = _account()
        return {
            "bytes": client.received,
            "environs": environs,
            "log": [(level, event, _stable(fields)) for level, event, fields in made.log.lines],
            "access": made.access.lines,
            "bytes in": [entry.bytes_in for entry in made.access.entries],
            "states": states,
            "requests": made.connections.requests,
            "steps": seat.number - before[0],
            "account": [b - a for a, b in zip(before[1], after, strict=True)],
            "afterwards": len(DONE),
        }


def _plain(value: object) -> str:
    return (
        f"{type(value).__name__} {value!r}"
        if isinstance(value, str | int | tuple | bool)
        else type(value).__name__
    )


def _stable(fields: dict[str, object]) -> dict[str, object]:
    text = str(fields.get("text", ""))
    return {k: v for k, v in fields.items() if k != "text"} | {"last line": text.strip().rpartition("\n")[2]}


def _unread(client: Any) -> bool:
    connection = client.connection
    if connection is None or connection.phase in (Phase.CLOSED, Phase.FLUSH, Phase.APPLICATION):
        return False
    try:
        return bool(connection._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def _state(connection: Any) -> dict[str, Any]:
    exchange, receiver = connection._exchange, connection._receiver
    return {
        "phase": connection.phase,
        "busy": connection.busy,
        "watched": connection._events,
        "served": connection._served,
        "client closes": connection._client_closes,
        "limit": connection.deadline > time.monotonic(),
        "response": exchange.response is None,
        "context": exchange._context is None,
        "environ": exchange._handler.environ,
        "request": exchange._handler.request,
        "failures": exchange._handler.failures,
        "expects": receiver.expects,
        "pending": receiver.pending,
        "outbox": connection._sender.empty,
    }


def _account() -> list[int]:
    """Counters of this thread's seat (all zero if a pool has others); not those that hold times."""
    fields = memoryview(here.seat._memory if hasattr(here.seat, "_memory") else SEAT_MEMORY).cast("Q")
    return list(fields[48:56])


SEAT_MEMORY: Any = None


@contextmanager
def own_seat() -> Iterator[None]:
    """A seat whose memory the test can read."""
    import mmap

    from prefork.ipc.seat import SEAT_BYTES, Seat

    global SEAT_MEMORY
    before, SEAT_MEMORY = here.seat, mmap.mmap(-1, SEAT_BYTES)
    here.seat = Seat(SEAT_MEMORY, 0)
    try:
        yield
    finally:
        here.seat = before


@pytest.fixture(autouse=True)
def _seat() -> Iterator[None]:
    with own_seat():
        yield


def compare(app: App, sendings: list[bytes], **options: Any) -> dict[str, Any]:
    fast, slow = (outcome(app, sendings, each, **options) for each in (True, False))
    for name, found in fast.items():
        assert found == slow[name], name
    return fast


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", APPS)
def test_every_application(name: str, threads: int) -> None:
    for request in ("ordinary", "HEAD", "1.0", "1.0 that stays", "closes", "body", "pipelined"):
        compare(APPS[name], [REQUESTS[request], GET], threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", REQUESTS)
def test_every_request(name: str, threads: int) -> None:
    found = compare(ordinary, [REQUESTS[name], GET], threads=threads)
    assert found["bytes"]
    compare(hello, [GET, REQUESTS[name], GET], threads=threads)


@pytest.mark.parametrize("name", ["ordinary", "body", "pipelined", "chunks"])
def test_a_request_in_pieces(name: str) -> None:
    whole = REQUESTS[name]
    for cut in range(1, len(whole)):
        compare(ordinary, [whole[:cut], whole[cut:], GET])


def test_requests_and_applications_at_random() -> None:
    chance = random.Random(int(os.environ.get("PREFORK_TEST_SEED") or 7))
    names = [name for name in APPS if name not in ("very large", "exits")]
    for _ in range(60):
        sequence = [chance.choice(names) for _ in range(6)]
        turn = iter(sequence * 9)

        def app(environ: dict[str, Any], start_response: Start, turn: Iterator[str] = turn) -> Any:
            return APPS[next(turn)](environ, start_response)

        sendings = [REQUESTS[chance.choice(list(REQUESTS))] for _ in range(5)]
        state = chance.getstate()
        for fast in (True, False):
            chance.setstate(state)
            turn = iter(sequence * 9)
            app.__defaults__ = (turn,)
            found = outcome(app, sendings, fast)
            if fast:
                expected = found
        assert found == expected, (sequence, sendings)


# Connections --------------------------------------------------------------------------------------------------------------


def slots_of(thing: object) -> dict[str, Any]:
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    return {name: getattr(thing, name) for name in names}


PARTS = {"_exchange", "_receiver", "_sender", "_handler", "_outbox"}


def parts_of(connection: object) -> dict[str, Any]:
    """The connection and all objects that are its own, by name."""
    found = {"connection": connection}
    for name in ("_exchange", "_receiver", "_sender"):
        found[name] = getattr(connection, name)
    found["_handler"] = found["_exchange"]._handler
    found["_outbox"] = found["_sender"]._outbox
    return found


def test_a_connection_is_made_as_the_constructor_makes_it() -> None:
    with station(hello) as made, socket.socket() as sock:
        peer, environ = ("192.0.2.1", 4711), {"REMOTE_ADDR": "192.0.2.1"}

        def correct(environ: dict[str, Any]) -> None:
            pass

        made.connections.opened = 17
        arguments = (sock, peer, environ, correct)
        copied = parts_of(made.connections.connect(*arguments))
        built = parts_of(Connection(made.connections, *arguments))
        other = parts_of(made.connections.connect(*arguments))
        for name, part in built.items():
            assert type(copied[name]) is type(part)
            assert copied[name] is not other[name]
            expected, found, third = slots_of(part), slots_of(copied[name]), slots_of(other[name])
            for field, value in expected.items():
                got = found[field]
                if field in PARTS:
                    assert got is copied[field], "its own, not the model's"
                elif field == "deadline":
                    assert abs(got - value) < 5
                elif field == "_write_out":
                    assert got.__self__ is copied["_sender"]
                else:
                    assert got == value, (name, field)
                    assert type(got) is type(value), (name, field)
                mutable = isinstance(got, dict | list | set) or getattr(got, "maxlen", 0) != 0
                if mutable and not (name == "_receiver" and field in ("_base", "_environ")):
                    assert got is not third[field], f"{name}.{field} would be shared by all connections"


def test_a_handler_with_a_constructor_of_its_own() -> None:
    made_by: list[object] = []

    class Handler(WSGIRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made_by.append(self.client_address)
            if len(made_by) == 2:
                raise ValueError("not today")

    with station(ordinary, handler_class=Handler) as made:
        assert made.connections.fast_read is not None
        assert made_by == []
        first = made.connect()
        assert first.ask(GET).endswith(b"/a")
        assert made.connect().ended()
        assert "handler_failed" in made.log.events
        assert made.connect().ask(GET).endswith(b"/a")
    assert len(made_by) == 3


# Single points ------------------------------------------------------------------------------------------------------------


def test_a_reader_that_is_slow() -> None:
    """What the socket does not take waits in the outbox, and goes out in order."""
    body = b"0123456789" * 3000
    app = responding("200 OK", [("Content-Length", str(len(body)))], [body])
    with station(app) as made:
        client = made.connect(sndbuf=4096)
        client.send(GET)
        made.until(lambda: client.connection.phase is Phase.FLUSH, "a full socket")  # type: ignore[union-attr]
        assert not client.connection._sender.empty  # type: ignore[union-attr]
        assert len(body) < MEMORY_BYTES
        made.until(lambda: client.read_some().endswith(body), "all of it")
        made.settle()
        assert client.connection is not None
        assert client.connection.phase is Phase.IDLE
        assert client.ask(GET).endswith(body)
    assert [status for _, status, _ in made.access.lines] == [200, 200]


def test_a_client_that_has_gone() -> None:
    def app(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
        client.sock.close()
        start_response("200 OK", LENGTH)
        return [b"ok"]

    dropped = []

    class Handler(WSGIRequestHandler):
        def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
            dropped.append((type(error), (environ or {}).get("PATH_INFO")))

    with station(app, handler_class=Handler) as made:
        assert made.connections.fast_read is not None
        client = made.connect()
        client.sock.sendall(GET)
        made.until(lambda: not made.members, "the end of the connection")
    assert dropped == [(BrokenPipeError, "/a")]


def test_the_application_runs_in_a_context_of_its_own() -> None:
    from contextvars import ContextVar

    seen: ContextVar[int] = ContextVar("seen", default=0)

    def app(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
        before = seen.get()
        seen.set(before + 1)
        start_response("200 OK", [("Content-Length", "1")])
        return [b"%d" % before]

    with station(app) as made:
        client = made.connect()
        assert [client.ask(GET)[-1:] for _ in range(3)] == [b"0", b"0", b"0"]
    assert seen.get() == 0


def test_an_interruption_that_is_due_is_raised_in_the_application() -> None:
    interruptions = Interruptions()
    interruptions.add_main(here.seat)
    try:
        reached = []

        def app(_environ: dict[str, Any], start_response: Start) -> list[bytes]:
            reached.append(here.seat.number)
            start_response("200 OK", LENGTH)
            return [b"ok"]

        watched = interruptions.watched(app)
        with station(watched) as made:
            assert made.connections.fast_read is not None
            client = made.connect()
            client.ask(GET)
            gate = watched.gate
            assert gate is not None
            gate._due = here.seat.number + 1  # told between the beginning of the step and the application
            assert client.ask(GET).startswith(b"HTTP/1.1 503 ")
            assert client.ask(GET).startswith(b"HTTP/1.1 200 ")
            assert not gate.inside
        assert len(reached) == 2
        assert "request_interrupted" in made.log.events
    finally:
        import signal

        from prefork.ipc.boot import INTERRUPT_SIGNAL

        signal.signal(INTERRUPT_SIGNAL, signal.SIG_DFL)


@pytest.mark.parametrize(
    "options",
    [
        {"clock": FakeClock()},
        *(
            {"handler_class": type("Handler", (WSGIRequestHandler,), {name: lambda self, *_: None})}
            for name in ("respond", "run_wsgi", "make_environ", "pull", "end", "let_go")
        ),
    ],
)
def test_where_it_is_not_used(options: dict[str, Any]) -> None:
    with station(hello, **options) as made:
        assert made.connections.fast_read is None


def test_a_subclass_that_writes_its_own_lines_is_asked() -> None:
    lines = []

    class Handler(WSGIRequestHandler):
        def log_request(self, code: int = 0, size: int = 0) -> None:
            lines.append((code, size, self.path, self.duration_ns > 0))

    with station(ordinary, handler_class=Handler) as made:
        assert made.connections.fast_read is not None
        made.connect().ask(GET)
    assert lines == [(200, 2, "/a?b", True)]


def test_a_failing_handler_is_reported_and_the_connection_goes_on() -> None:
    class Handler(WSGIRequestHandler):
        def log_request(self, code: int = 0, size: int = 0) -> None:
            raise ValueError("no disk")

    compare(ordinary, [GET, GET], handler_class=Handler)


def test_a_failing_access_log_is_reported_and_the_connection_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_entry: object) -> None:
        raise ValueError("no disk")

    monkeypatch.setattr(AccessLines, "__call__", fails)
    found = compare(ordinary, [GET, GET])
    assert [event for _, event, _ in found["log"]] == ["handler_failed", "traceback"] * 2


def test_the_access_log_has_all_of_a_request() -> None:
    with station(hello) as made:
        client = made.connect()
        for request in (GET, REQUESTS["body"]):
            client.ask(request)
        entries = made.access.entries
    assert [(entry.status, entry.body_bytes, entry.bytes_in) for entry in entries] == [
        (200, 5, 0),
        (200, 5, 5),
    ]
    assert all(entry.duration_ns > 0 and entry.queued_ns >= 0 for entry in entries)
    assert [entry.environ["RAW_URI"] for entry in entries] == ["/a?b", "/"]


def test_it_keeps_nothing() -> None:
    """No object more after a thousand requests of each kind."""

    def count(made: Station) -> int:
        for request in ("ordinary", "body", "pipelined", "chunks"):
            for _ in range(10):
                client.ask(REQUESTS[request])
        made.log.lines.clear()
        made.access.lines.clear()
        made.access.entries.clear()
        gc.collect()
        return len(gc.get_objects())

    with station(ordinary) as made:
        client = made.connect()
        count(made)
        client.received = b""
        before = count(made)
        for _ in range(5):
            client.received = b""
            after = count(made)
    assert abs(after - before) < 20


WITHOUT_MEMORY = """
import sys
import _testcapi

sys.path.insert(0, sys.argv[1])
from support.serving import station
from unit.worker.test_fastpath import GET, REQUESTS, ordinary

outcomes = set()
with station(ordinary) as made:
    for name in ("ordinary", "body", "closes", "pipelined", "refused"):
        for number in range(1, 90):
            client = made.connect()
            client.sock.sendall(REQUESTS[name])
            _testcapi.set_nomemory(number, number + 1)
            try:
                made.connections.fast_read(client.connection)
                raised = False
            except MemoryError:  # as from the same steps in Python: the end of a worker, here only of the connection
                raised = True
            finally:
                _testcapi.remove_mem_hooks()
            if raised:
                client.connection.close()
            made.turn(2)
            outcomes.add(client.read_some()[9:12])
            client.close()
    assert made.connect().ask(GET).startswith(b"HTTP/1.1 200 ")
print(*sorted(outcome.decode() for outcome in outcomes))
"""


@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="no _testcapi")
def test_without_memory_somebody_is_told_and_the_next_is_served() -> None:
    """Each allocation fails once, whoever makes it: no crash, an answer of ours or none."""
    tests = Path(__file__).parents[2]
    assert run(WITHOUT_MEMORY, tests).split("\n")[-2].split() == ["200", "400", "500"]


def test_only_what_it_is_made_for() -> None:
    with station(hello) as made:
        use_fast_path(made.connections, here.seat)
        with pytest.raises(TypeError, match="Connection"):
            made.connections.fast_read(object())  # type: ignore[misc,arg-type]
