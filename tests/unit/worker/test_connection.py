"""Connections on real sockets with a real loop, both executors: keep-alive, pipelining, refusals, slow and gone clients."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefork.http.limits import Limits
from prefork.worker.connection import LINGER_BYTES, Phase
from prefork.worker.outbox import MEMORY_BYTES
from prefork.worker.spill import TURN_BYTES as SPILL_BYTES
from support.serving import Client, FakeClock, Station, hello, readable, station
from support.wire import parse_answer, parse_answers

Start = Callable[..., Any]

GET = b"GET /%d HTTP/1.1\r\nHost: t\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n0123456789"
CLOSING = b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"


@pytest.fixture(params=[1, 3], ids=["inline", "threads"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def echo_path(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode() + b" " + environ["wsgi.input"].read()]


def streaming(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(200):
        yield b"%d," % number * 2000


STREAMED = b"".join(b"%d," % number * 2000 for number in range(200))


# Keep-alive and pipelining --------------------------------------------------------------------------------------------


def test_requests_one_after_the_other(threads: int) -> None:
    with station(echo_path, threads=threads) as made:
        client = made.connect()
        assert client.connection is not None
        assert client.connection.phase is Phase.FRESH
        for number in range(5):
            raw = client.ask(GET % number)
            assert parse_answer(raw, closed=False).body == b"/%d " % number
            made.until(lambda: client.connection.phase is Phase.IDLE, "rest")  # type: ignore[union-attr]
        assert made.connections.requests == 5
        assert len(made.connections) == 1


def test_a_request_that_is_there_at_accept_is_read_at_once(threads: int) -> None:
    with station(hello, threads=threads) as made:
        assert parse_answer(made.connect(GET % 1).ask(b""), closed=False).body == b"hello"


def test_connection_close_of_the_client(threads: int) -> None:
    with station(hello, threads=threads) as made:
        client = made.connect(CLOSING)
        assert parse_answer(client.read_to_end()).one("connection") == b"close"
        made.until(lambda: not len(made.connections), "the end")


def test_pipelined_requests_are_answered_in_order(threads: int) -> None:
    with station(echo_path, threads=threads) as made:
        client = made.connect(b"".join(GET % n for n in range(20)) + CLOSING)
        answers = parse_answers(client.read_to_end(), *["GET"] * 21)
        assert [a.body for a in answers] == [b"/%d " % n for n in range(20)] + [b"/ "]


def test_a_pipelining_client_does_not_keep_others_waiting() -> None:
    order: list[str] = []

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        order.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    with station(app) as made:
        greedy, other = made.connect(), made.connect()
        greedy.send(b"".join(GET % n for n in range(100)))
        made.turn()
        other.send(b"GET /other HTTP/1.1\r\nHost: t\r\n\r\n")
        made.turn()
        assert "/other" in order
        assert len(order) < 10
        made.until(lambda: len(order) == 101, "all requests")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_byte_by_byte(threads: int, method: str) -> None:
    with station(echo_path, threads=threads) as made:
        client = made.connect()
        raw = GET % 7 if method == "GET" else POST
        for at in range(len(raw)):
            client.send(raw[at : at + 1])
            made.turn()
        body = parse_answer(client.ask(b""), closed=False).body
        assert body == (b"/7 " if method == "GET" else b"/ 0123456789")
        assert parse_answer(client.ask(GET % 8), closed=False).body == b"/8 "


def test_pipelined_half_requests(threads: int) -> None:
    with station(echo_path, threads=threads) as made:
        raw = GET % 1 + POST + GET % 2
        for cut in range(1, len(raw)):
            client = made.connect(raw[:cut])
            made.settle()
            client.send(raw[cut:])
            made.until(lambda: client.read_some().count(b"HTTP/1.1 200") == 3, "three answers")  # noqa: B023
            made.settle()
            answers = parse_answers(client.read_some(), "GET", "POST", "GET", closed=False)
            assert [a.body for a in answers] == [b"/1 ", b"/ 0123456789", b"/2 "]
            client.close()
        made.until(lambda: not len(made.connections), "the end of all")


def test_empty_lines_between_requests(threads: int) -> None:
    with station(hello, threads=threads) as made:
        client = made.connect(POST + b"\r\n")
        client.ask(b"")
        made.settle()
        assert client.connection is not None
        assert client.connection.phase is Phase.IDLE
        client.ask(GET % 1)
        made.settle()
        client.send(b"\r\n")
        made.turn()
        assert client.connection.phase is Phase.IDLE  # an empty line is no beginning of a request
        assert b" 200 OK" in client.ask(GET % 1)


# Bodies ---------------------------------------------------------------------------------------------------------------


def test_100_continue(threads: int) -> None:
    with station(echo_path, threads=threads) as made:
        client = made.connect(
            b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        made.turn()
        assert client.read_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"ab")
        made.turn()
        client.ask(b"cd")
        answer = parse_answer(client.received, "POST", closed=False)
        assert answer.body == b"/ abcd"
        assert [i.status_code for i in answer.interim] == [100]


def test_no_100_continue_when_the_body_is_there(threads: int) -> None:
    with station(echo_path, threads=threads) as made:
        client = made.connect(
            b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nabcd"
        )
        assert parse_answer(client.ask(b""), "POST", closed=False).interim == []


def test_a_body_too_large_is_refused_before_100_continue() -> None:
    with station(echo_path, limits=Limits(max_body=3)) as made:
        client = made.connect(
            b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        assert parse_answer(client.read_to_end(), "POST").status == 413


@pytest.mark.parametrize("where", ["at once", "in the middle", "pipelined"])
def test_a_body_that_cannot_be_stored_is_refused(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(**options: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    head = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n"
    with station(echo_path, limits=Limits(body_memory=10)) as made:
        if where == "pipelined":
            client = made.connect(GET % 1 + head + b"x" * 50)
        elif where == "at once":
            client = made.connect(head + b"x" * 100)
        else:
            client = made.connect(head)
            made.turn()
            client.send(b"x" * 100)
        raw = client.read_to_end()
        expected = [200, 503] if where == "pipelined" else [503]
        assert [a.status for a in parse_answers(raw, *["GET"] * len(expected))] == expected
        assert "request_failed" not in made.log.events
        assert any("No space left" in str(fields) for level, _, fields in made.log.lines if level == "error")


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"NONSENSE\r\n", 400),
        (b"\x16\x03\x01", 400),
        (b"GET / HTTP/3.0\r\nHost: t\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"x" * 9000, 414),
    ],
)
def test_a_refusal_reaches_a_client_that_goes_on_sending(raw: bytes, status: int) -> None:
    with station(hello) as made:
        client = made.connect(raw)
        sent = 0
        client.sock.setblocking(False)
        while sent < LINGER_BYTES // 2:
            made.turn()
            try:
                sent += client.sock.send(b"more and more " * 100)
            except BlockingIOError:
                continue
        answer = parse_answer(client.read_to_end())
        assert answer.status == status
        assert answer.one("connection") == b"close"
        assert len(made.connections) == 1  # lingers until the client has seen it
        client.close()
        made.until(lambda: not len(made.connections), "the end of lingering")
        assert made.connections.requests == 0


def test_lingering_is_bounded_in_bytes() -> None:
    with station(hello) as made:
        client = made.connect(b"NONSENSE\r\n")
        client.sock.setblocking(False)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(2 * LINGER_BYTES):
                made.turn()
                try:
                    client.sock.send(b"x" * 65536)
                except BlockingIOError:
                    continue
        assert not len(made.connections)


def test_a_refusal_after_pipelined_requests(threads: int) -> None:
    with station(hello, threads=threads) as made:
        client = made.connect(GET % 1 + GET % 2 + b"NONSENSE\r\n")
        answers = parse_answers(client.read_to_end(), "GET", "GET", "GET")
        assert [a.status for a in answers] == [200, 200, 400]


# Ends at each stage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "answered"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"GET / HT", b"HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc", b"HTTP/1.1 400"),
        (GET % 1, b"HTTP/1.1 200"),
        (GET % 1 + GET % 2, b"HTTP/1.1 200"),
        (GET % 1 + b"GET", b"HTTP/1.1 200"),
    ],
)
@pytest.mark.parametrize("at_once", [False, True])
def test_a_client_that_half_closes(threads: int, raw: bytes, answered: bytes, at_once: bool) -> None:
    with station(hello, threads=threads) as made:
        client = made.connect(b"" if at_once or not raw else raw)
        if at_once:
            client.sock.sendall(raw)
        else:
            made.turn()
        client.sock.shutdown(socket.SHUT_WR)
        received = client.read_to_end()
        assert received.startswith(answered)
        assert received.count(b"HTTP/1.1 200") == raw.count(b"HTTP/1.1\r\nHost: t\r\n\r\n")
        assert bool(received) == bool(answered)
        client.close()
        made.until(lambda: not len(made.connections), "the end")


@pytest.mark.parametrize("raw", [b"", b"GET", POST[:-2], GET % 1, GET % 1 + GET % 2, CLOSING])
def test_a_client_that_is_gone(threads: int, raw: bytes) -> None:
    with station(streaming, threads=threads) as made:
        client = made.connect(raw, sndbuf=1)
        made.turn()
        client.close()
        made.until(lambda: not len(made.connections), "the end")
        made.settle()
        assert made.log.events == []


# Slow readers ---------------------------------------------------------------------------------------------------------


def read_slowly(made: Station, client: Client) -> bytes:
    """Reads to the end, a little at a time."""
    received = b""
    while True:
        made.until(lambda: readable(client.sock), "more of the response")
        data = client.sock.recv(3000)
        if not data:
            return received
        received += data


def test_a_slow_reader_gets_everything_and_the_application_waits(threads: int) -> None:
    pulled: list[int] = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        for number, piece in enumerate(streaming(environ, start_response)):
            pulled.append(number)
            yield piece

    with station(app, threads=threads) as made:
        client = made.connect(CLOSING, sndbuf=1)
        assert client.connection is not None
        made.until(lambda: client.connection.phase is Phase.FLUSH, "a full socket")  # type: ignore[union-attr]
        made.turn(3)
        assert len(pulled) < 10
        answer = parse_answer(read_slowly(made, client))
        assert answer.body == STREAMED
        assert len(pulled) == 200


def test_keep_alive_after_a_flush(threads: int) -> None:
    with station(streaming, threads=threads) as made:
        client = made.connect(GET % 1, sndbuf=1)
        for _ in range(2):
            made.until(lambda: client.read_some().endswith(b"0\r\n\r\n"), "the whole response")
            made.settle()
            assert parse_answer(client.received, closed=False).body == STREAMED
            client.received = b""
            client.send(GET % 2)


@pytest.mark.parametrize("size", [100_000, MEMORY_BYTES * 2])
def test_large_bodies_to_a_slow_reader(threads: int, size: int) -> None:
    body = bytes(range(256)) * (size // 256)

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [])
        return [body]

    with station(app, threads=threads) as made:
        client = made.connect(CLOSING, sndbuf=1)
        assert parse_answer(read_slowly(made, client)).body == body


def test_write_beyond_the_bound(threads: int) -> None:
    piece = b"0123456789" * 10_000

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        write = start_response("200 OK", [])
        for _ in range(10):
            write(piece)
        return [b"end"]

    with station(app, threads=threads) as made:
        client = made.connect(CLOSING, sndbuf=1)
        assert parse_answer(read_slowly(made, client)).body == piece * 10 + b"end"


@pytest.mark.parametrize("kind", ["items", "file", "whole"])
def test_what_is_sent_from_inside_the_iterable_comes_before_its_items(
    threads: int, kind: str, tmp_path: Path
) -> None:
    # The socket is full in the middle of an interim response, and has room again before the item that follows.
    (tmp_path / "file").write_bytes(b"in a file")
    hints = [("Link", "x" * 5000)]

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        for _ in range(100):
            environ["wsgi.early_hints"](hints)
        start_response("200 OK", [])
        if kind == "file":
            return environ["wsgi.file_wrapper"](open(tmp_path / "file", "rb"))
        if kind == "whole":
            return [b"w" * 100_000]
        return items(environ, start_response)

    def items(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        write = start_response("200 OK", [], (ValueError, ValueError(), None))
        yield b"first "
        for _ in range(100):
            write(b"written " * 1000)
        client.read_some()
        yield b"item "
        write(b"written again " * 10_000)
        client.read_some()
        yield b"last" * 20_000

    with station(app, threads=threads) as made:
        client = made.connect(sndbuf=1)
        client.send(CLOSING)
        raw = client.read_to_end()
        answer = parse_answer(raw)
        assert len(answer.interim) == 100
        expected = {
            "file": b"in a file",
            "whole": b"w" * 100_000,
            "items": b"first "
            + b"written " * 100_000
            + b"item "
            + b"written again " * 10_000
            + b"last" * 20_000,
        }
        assert answer.body == expected[kind]


def test_files_to_a_slow_reader(threads: int, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    (tmp_path / "file").write_bytes(content)
    files: list[Any] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        files.append(open(tmp_path / "file", "rb"))  # noqa: SIM115
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](files[-1])

    with station(app, threads=threads) as made:
        client = made.connect(GET % 1, sndbuf=1)
        made.until(lambda: len(client.read_some()) > len(content), "the file")
        made.settle()
        answer = parse_answer(client.read_some(), closed=False)
        assert answer.body == content
        assert answer.one("content-length") == b"%d" % len(content)
        made.until(lambda: files[0].closed, "close()")
        client.received = b""
        client.send(CLOSING)
        client.sock.settimeout(0)
        assert parse_answer(read_slowly(made, client)).body == content
        made.until(lambda: files[1].closed, "close()")


def test_a_file_that_becomes_shorter_cuts_the_response_and_is_reported(threads: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 500_000)
    file = open(tmp_path / "file", "r+b")  # noqa: SIM115

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    with station(app, threads=threads) as made:
        client = made.connect(GET % 1, sndbuf=1)
        assert client.connection is not None
        made.until(lambda: client.connection.phase is Phase.FLUSH, "a full socket")  # type: ignore[union-attr]
        file.truncate(200_000)
        raw = client.read_to_end()
        assert raw.startswith(b"HTTP/1.1 200 OK")
        assert len(raw) < 210_000
        made.settle()
        assert file.closed
        assert "shorter" in str(made.log.fields("bad_response")["problem"])


def test_a_full_disk_under_a_response_cuts_it_and_is_reported(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**options: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        write = start_response("200 OK", [])

        def body() -> Iterator[bytes]:
            write(b"x" * MEMORY_BYTES)
            yield b"x" * MEMORY_BYTES

        return body()

    with station(app, threads=threads) as made:
        client = made.connect(GET % 1, sndbuf=1)
        raw = client.read_to_end()
        assert len(raw) < MEMORY_BYTES
        made.settle()
        assert "No space" in str(made.log.fields("bad_response")["problem"])


def test_after_a_write_that_was_lost_nothing_follows(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real: list[Any] = [__import__("tempfile").TemporaryFile]

    def full(**options: Any) -> Any:
        raise OSError(28, "No space left on device")

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        write = start_response("200 OK", [("Content-Length", str(MEMORY_BYTES * 2 + 10))])
        monkeypatch.setattr("tempfile.TemporaryFile", full)
        try:
            for _ in range(3):
                write(b"x" * MEMORY_BYTES)
        except OSError:
            pass  # an application that does not care
        monkeypatch.setattr("tempfile.TemporaryFile", real[0])
        return [b"0123456789"]

    with station(app, threads=threads) as made:
        client = made.connect(GET % 1, sndbuf=1)
        assert b"0123456789" not in client.read_to_end()


def test_a_request_that_runs_when_the_worker_is_told_to_leave_is_the_last(threads: int) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        made.connections.drain()
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with station(app, threads=threads) as made:
        (answer,) = parse_answers(made.connect(GET % 1).read_to_end(), "GET")
        assert (answer.one("Connection"), answer.body) == (b"close", b"ok")


# Large pieces ---------------------------------------------------------------------------------------------------------


def test_a_large_piece_goes_to_disk_a_little_at_a_time_if_nobody_reads(threads: int) -> None:
    size = 40 * SPILL_BYTES
    piece = bytes(range(256)) * (size // 256)

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [("Content-Length", str(size))])
        return [piece]

    clock = FakeClock()
    with station(app, threads=threads, clock=clock) as made:
        client = made.connect(GET % 1, sndbuf=1)
        made.until(lambda: client.connection.phase is Phase.FLUSH, "a full socket")
        outbox = client.connection._sender._outbox
        made.turn(5)
        assert outbox._spool is None
        assert outbox.oversized
        clock.now += 2.0
        made.turn()
        waiting = outbox._first
        made.turn(4)
        assert waiting - outbox._first <= 4 * SPILL_BYTES  # so much in a turn, all connections together
        client.received = client.sock.recv(1000)
        made.until(lambda: not outbox.oversized, "the disk")
        client.ask(b"", size - 1000)
        (answer,) = parse_answers(client.received, "GET")
        assert answer.body == piece


def test_a_full_disk_leaves_a_large_piece_where_it_is(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: Any) -> Any:
        raise OSError(28, "No space left on device")

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [("Content-Length", "3000000")])
        return [b"x" * 3_000_000]

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    clock = FakeClock()
    with station(app, threads=threads, clock=clock) as made:
        client = made.connect(GET % 1, sndbuf=1)
        made.until(lambda: client.connection.phase is Phase.FLUSH, "a full socket")
        clock.now += 2.0
        made.until(lambda: made.log.events == ["response_not_stored"], "the disk")
        assert client.ask(b"", 3_000_000).endswith(b"x" * 3_000_000)


# Clients that go while they are answered ------------------------------------------------------------------------------


class Stream:
    """A body that remembers whether it was closed."""

    def __init__(self, item: bytes = b"x" * 10_000) -> None:
        self.closed = 0
        self.item = item

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self.item

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("when", ["flush", "between"])
def test_close_is_called_when_the_client_goes(threads: int, when: str) -> None:
    body = Stream()

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [])
        return body

    with station(app, threads=threads) as made:
        client = made.connect(GET % 1, sndbuf=1)
        assert client.connection is not None
        made.until(lambda: client.connection.phase is Phase.FLUSH, "a full socket")  # type: ignore[union-attr]
        if when == "between":
            client.sock.recv(100_000)
        client.close()
        made.until(lambda: not len(made.connections), "the end")
        assert body.closed == 1
        assert made.log.events == []
        assert [line[:2] for line in made.access.lines] == [("/1", 200)]


def test_a_client_that_goes_while_the_application_writes(threads: int) -> None:
    reached: list[bool] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        write = start_response("200 OK", [])
        write(b"x")
        client.close()
        write(b"y")
        reached.append(True)

    with station(app, threads=threads) as made:
        client = made.connect()
        client.send(GET % 1)
        made.until(lambda: not len(made.connections), "the end")
        assert reached == []
        assert made.log.events == []


# Errors of ours cost one connection -------------------------------------------------------------------------------------


def test_a_handler_that_cannot_be_made_costs_one_connection() -> None:
    from prefork.wsgi.handler import WSGIRequestHandler

    class Handler(WSGIRequestHandler):
        def __init__(self, *args: Any) -> None:
            raise RuntimeError("mine")

    with station(hello, handler_class=Handler) as made:
        client = made.connect(GET % 1)
        assert client.read_to_end() == b""
        assert not len(made.connections)
        assert "RuntimeError: mine" in str(made.log.lines)


@pytest.mark.parametrize("method", ["respond", "pull", "end", "address_string"])
@pytest.mark.parametrize("error", [RuntimeError("mine"), SystemExit(1), MemoryError()])
def test_a_handler_that_fails_costs_one_connection(threads: int, method: str, error: BaseException) -> None:
    from prefork.wsgi.handler import WSGIRequestHandler

    def fail(self: Any, *args: Any) -> Any:
        raise error

    handler_class = type("Handler", (WSGIRequestHandler,), {method: fail})
    with station(hello, threads=threads, handler_class=handler_class) as made:
        for raw in (GET % 1, b"NONSENSE\r\n"):
            client = made.connect(raw)
            made.settle()
            client.close()
        made.until(lambda: not len(made.connections), "the end of all connections")
        assert made.executor.idle
        if method != "address_string":
            assert type(error).__name__ in str(made.log.lines)


def test_a_fault_of_the_parser_costs_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with station(hello, fast=False) as made:
        other = made.connect()
        client = made.connect()

        def fault(self: Any, data: bytes) -> Any:
            raise ZeroDivisionError("a fault of ours")

        with monkeypatch.context() as patch:
            patch.setattr("prefork.http.receiver.RequestReceiver.feed", fault)
            assert parse_answer(client.send(GET % 1).read_to_end()).status == 500
        assert "ZeroDivisionError" in str(made.log.lines)
        assert b"200 OK" in other.ask(GET % 1)
