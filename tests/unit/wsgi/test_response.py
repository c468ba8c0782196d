"""PEP 3333 to the letter: start_response, write(), the iterable, its close(), and what of it goes on the wire."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefork.wsgi.handler import WSGIRequestHandler
from prefork.wsgi.response import GATHER_BYTES, JOIN_BYTES, ApplicationError, ClientGoneError
from support.wire import WireError, parse_answer
from support.wsgi import Exchange, exchange

Start = Callable[..., Any]
TEXT = [("Content-Type", "text/plain")]


class Body:
    """An iterable that remembers how it was used."""

    def __init__(self, *items: Any, error: BaseException | None = None) -> None:
        self.items = list(items)
        self.error = error
        self.pulled = 0
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.items:
            self.pulled += 1
            return self.items.pop(0)
        if self.error is not None:
            raise self.error
        raise StopIteration

    def close(self) -> None:
        self.closed += 1


def returns(body: Any, status: str = "200 OK", headers: list[tuple[str, str]] = TEXT) -> Any:
    """An application that answers so."""

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response(status, headers)
        return body

    return app


# Framing --------------------------------------------------------------------------------------------------------------

BIG = b"x" * (GATHER_BYTES + 1)
HUGE = b"y" * (JOIN_BYTES + 1)

BODIES: list[Any] = [
    [],
    [b""],
    [b"", b""],
    [b"one"],
    [b"one", b"", b"two"],
    [b"", b"one"],
    [BIG],
    [BIG, b"tail"],
    [b"head", HUGE, b""],
    (),
    (b"one",),
    (b"one", b"two"),
]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body)[:30])
@pytest.mark.parametrize("kind", ["sequence", "generator", "write", "half"])
@pytest.mark.parametrize("declared", [False, True])
def test_every_kind_of_body_arrives(body: Any, kind: str, method: str, version: str, declared: bool) -> None:
    content = b"".join(body)
    headers = [*TEXT, ("Content-Length", str(len(content)))] if declared else TEXT

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        write = start_response("200 OK", headers)
        if kind == "sequence":
            return body
        if kind == "generator":
            return (piece for piece in body)
        half = len(body) // 2 if kind == "half" else len(body)
        for piece in body[:half]:
            write(piece)
        return body[half:]

    done = exchange(app, method, version=version, fields="Connection: keep-alive\r\n")
    answer = done.answer()
    assert answer.status == 200
    assert answer.body == (b"" if method == "HEAD" else content)
    assert done.problems == []
    assert done.access.lines == [("/p/a", 200, len(answer.body))]
    lengths = answer.all("content-length")
    if declared or (kind == "sequence" and method != "HEAD") or lengths:
        assert lengths == [b"%d" % len(content)]
    if done.response.keep_alive:
        assert answer.one("connection") == (None if version == "1.1" else b"keep-alive")
    else:
        assert answer.one("connection") == b"close"
        assert version == "1.0"
        assert not lengths


@pytest.mark.parametrize("body", [[], [b""], iter([])], ids=["none", "empty", "iterator"])
def test_head_does_not_claim_an_empty_body(body: Any) -> None:
    # RFC 9110 section 8.6: Content-Length in an answer to HEAD must equal that of GET, which is not known here.
    done = exchange(returns(body), "HEAD")
    assert done.answer().all("content-length") == []
    assert done.response.keep_alive


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize(
    "body", [[], [b"not to be sent"], (b"a", b"b"), iter([b"x", b"y"]), [HUGE]], ids=lambda b: repr(b)[:20]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_status_without_body(status: str, body: Any, method: str) -> None:
    done = exchange(returns(body, status, []), method)
    answer = done.answer()
    assert (answer.status, answer.body) == (int(status[:3]), b"")
    assert answer.all("content-length") == answer.all("transfer-encoding") == []
    assert done.response.keep_alive
    assert done.access.lines == [("/p/a", int(status[:3]), 0)]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_write_to_a_status_without_body(status: str) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response(status, [])(b"nothing of this")
        return [b"nor of this"]

    done = exchange(app)
    assert done.answer().body == b""
    assert done.access.lines == [("/p/a", int(status[:3]), 0)]


def test_304_keeps_the_declared_length() -> None:
    done = exchange(returns([], "304 Not Modified", [("Content-Length", "99")]))
    answer = done.answer()
    assert answer.one("content-length") == b"99"
    assert done.problems == []
    assert done.response.keep_alive


@pytest.mark.parametrize(
    ("version", "fields", "stays"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", True),
    ],
)
@pytest.mark.parametrize("draining", [False, True])
@pytest.mark.parametrize("asks", [False, True])
def test_keep_alive(version: str, fields: str, stays: bool, draining: bool, asks: bool) -> None:
    headers = [("Connection", "close")] if asks else []
    done = exchange(returns([b"x"], headers=headers), version=version, fields=fields, keep_alive=not draining)
    stays = stays and not draining and not asks
    assert done.response.keep_alive is stays
    answer = done.answer()
    assert answer.one("connection") == ((None if version == "1.1" else b"keep-alive") if stays else b"close")
    assert answer.http_version == b"1.1"  # RFC 9112 section 2.3: our own version


def test_http_1_0_body_of_unknown_length_ends_with_the_connection() -> None:
    done = exchange(returns(iter([b"a", b"b"])), version="1.0", fields="Connection: keep-alive\r\n")
    assert not done.response.keep_alive
    answer = done.answer()
    assert answer.body == b"ab"
    assert answer.all("transfer-encoding") == []


def test_date_and_server_lines() -> None:
    both = exchange(returns([b""])).answer()
    assert both.one("date") == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert both.one("server") == b"prefork"
    own = exchange(returns([b""], headers=[("Date", "mine"), ("SERVER", "mine too")])).answer()
    assert own.one("date") == b"mine"
    assert own.one("server") == b"mine too"
    date = exchange(returns([b""], headers=[("date", "mine")])).answer()
    assert date.one("server") == b"prefork"
    server = exchange(returns([b""], headers=[("server", "x")])).answer()
    assert server.one("date") == b"Sun, 06 Nov 1994 08:49:37 GMT"


# Laziness -------------------------------------------------------------------------------------------------------------


def test_an_item_is_pulled_when_it_is_asked_for() -> None:
    body = Body(b"one", b"two", b"", b"three")
    step = Exchange(returns(body)).respond()
    assert (body.pulled, step.pieces) == (0, [])
    step.pull()
    assert body.pulled == 1
    assert step.raw.endswith(b"\r\n\r\n3\r\none\r\n")  # the head waits for the first item and goes with it
    step.pull()
    assert body.pulled == 2
    assert step.pieces[1] == b"3\r\ntwo\r\n"
    step.pull()
    assert body.pulled == 4  # an empty item sends nothing: it must not end the chunked body
    assert step.pieces[2] == b"5\r\nthree\r\n"
    step.pull()
    step.end()
    assert step.answer().body == b"onetwothree"
    assert body.closed == 1


def test_nothing_goes_out_before_the_first_bytes() -> None:
    # PEP 3333: start_response must not send the headers; until the first non-empty item they may be replaced.
    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b""
        try:
            raise KeyError("late")
        except KeyError:
            start_response("500 Oops", TEXT, sys.exc_info())
        yield b"sorry"

    done = exchange(app)
    assert (done.answer().status, done.answer().body) == (500, b"sorry")
    assert done.problems == []


# close() --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", ["200 OK", "204 No Content"])
@pytest.mark.parametrize("items", [(), (b"",), (b"one",), (b"one", b"two")])
@pytest.mark.parametrize("headers", [[], [("Content-Length", "3")], [("Content-Length", "1")]])
def test_close_is_called_once(method: str, status: str, items: Any, headers: Any) -> None:
    body = Body(*items)
    exchange(returns(body, status, headers), method)
    assert body.closed == 1


@pytest.mark.parametrize("before", [0, 1, 2])
def test_close_is_called_once_after_an_error(before: int) -> None:
    body = Body(*[b"item"] * before, error=RuntimeError("broken"))
    done = exchange(returns(body))
    assert body.closed == 1
    assert done.problems[0] == "request_failed"
    if before:
        with pytest.raises(WireError, match=r"complete|peer closed"):  # cut: the client must see that
            parse_answer(done.raw)
        assert not done.response.keep_alive
    else:
        assert done.answer().status == 500
        assert done.response.keep_alive


@pytest.mark.parametrize("gone_after", [0, 1, 2])
def test_close_is_called_once_when_the_client_goes(gone_after: int) -> None:
    body = Body(b"1", b"2", b"3")
    exchange(returns(body), gone_after=gone_after)
    assert body.closed == 1
    assert body.pulled <= gone_after + 1


def test_close_is_called_once_without_start_response() -> None:
    body = Body(b"1")
    done = exchange(lambda environ, start_response: body)
    assert body.closed == 1
    assert done.answer().status == 500


def test_close_of_a_subclass_of_list_is_called() -> None:
    class Closing(list):  # type: ignore[type-arg]
        closed = 0

        def close(self) -> None:
            self.closed += 1

    body = Closing([b"x"])
    assert exchange(returns(body)).answer().body == b"x"
    assert body.closed == 1


def test_close_of_a_generator_runs_its_finally() -> None:
    ended = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        try:
            yield b"1"
            yield b"2"
        finally:
            ended.append(True)

    exchange(app, gone_after=1)
    assert ended == [True]


def test_error_in_close_is_reported_and_spoils_nothing() -> None:
    class Bad(Body):
        def close(self) -> None:
            super().close()
            raise RuntimeError("in close")

    body = Bad(b"x")
    done = exchange(returns(body))
    assert done.answer().body == b"x"
    assert body.closed == 1
    assert done.problems[:2] == ["close_failed", "traceback"]
    assert done.access.lines == [("/p/a", 200, 1)]


def test_error_in_close_does_not_hide_the_first_error() -> None:
    class Bad(Body):
        def close(self) -> None:
            super().close()
            raise RuntimeError("in close")

    body = Bad(error=KeyError("first"))
    done = exchange(returns(body))
    assert done.answer().status == 500
    assert body.closed == 1
    assert done.log.fields("request_failed")["error"] == "KeyError: 'first'"
    assert "in close" in str(done.log.fields("bad_response")["problem"])


# start_response -------------------------------------------------------------------------------------------------------


def test_start_response_in_the_first_next_of_a_generator() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("201 Created", TEXT)
        yield b"made"

    answer = exchange(app).answer()
    assert (answer.status, answer.body) == (201, b"made")


def test_start_response_never() -> None:
    for body in ([], [b"x"], (b"x", b"y"), iter([b"x"]), iter([])):
        done = exchange(lambda environ, start_response, body=body: body)  # type: ignore[misc]
        assert done.answer().status == 500
        assert "without calling start_response" in str(done.log.fields("request_failed")["error"])


def test_start_response_twice() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", TEXT)
        start_response("201 Created", TEXT)

    done = exchange(app)
    assert done.answer().status == 500
    assert "twice without exc_info" in str(done.log.fields("request_failed")["error"])


def test_start_response_with_exc_info_replaces_the_headers() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [("X-First", "1"), ("Content-Length", "1")])
        try:
            raise ValueError("x")
        except ValueError:
            start_response("503 Busy", [("X-Second", "2")], sys.exc_info())
        return [b"later"]

    answer = exchange(app).answer()
    assert (answer.status, answer.body) == (503, b"later")
    assert answer.all("x-first") == []
    assert answer.one("x-second") == b"2"


@pytest.mark.parametrize("by", ["write", "item"])
def test_start_response_with_exc_info_after_the_headers_raises_it(by: str) -> None:
    error = ValueError("mine")
    raised: list[BaseException] = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        write = start_response("200 OK", TEXT)
        if by == "write":
            write(b"out")
        else:
            yield b"out"
        try:
            raise error
        except ValueError:
            try:
                start_response("500 Oops", TEXT, sys.exc_info())
            except ValueError as caught:
                raised.append(caught)
                raise
        yield b"never"

    done = exchange(app)
    assert raised == [error]
    assert not done.response.keep_alive
    assert b"never" not in done.raw
    assert done.log.fields("request_failed")["error"] == "ValueError: mine"
    assert "raise error" in str(done.log.fields("traceback")["text"])


def test_start_response_after_the_end() -> None:
    late: list[Start] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        late.append(start_response)
        late.append(start_response("200 OK", TEXT))
        return [b"x"]

    done = exchange(app)
    for start in (late[0], lambda *given: late[0](*given, (ValueError, ValueError("x"), None))):
        with pytest.raises((ApplicationError, ValueError)):
            start("200 OK", TEXT)
    with pytest.raises(ApplicationError, match="outside of its response"):
        late[1](b"late")
    assert done.answer().body == b"x"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200", None),
        ("20 OK", []),
        ("200 OK\r\nX: y", []),
        (b"200 OK", []),
        ("200 OK", [("A", "b\nc")]),
        ("200 OK", 5),
    ],
)
def test_what_start_response_refuses_becomes_a_500(status: Any, headers: Any) -> None:
    done = exchange(returns([b"x"], status, headers))
    assert done.answer().status == 500
    assert done.response.keep_alive
    assert done.problems == ["request_failed", "traceback"]


def test_a_refused_start_response_may_be_repaired() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        try:
            start_response("200 OK", [("X", "a\nb")])
        except ValueError:
            start_response("400 Bad", [])
        return [b"repaired"]

    assert exchange(app).answer().status == 400


def test_headers_are_taken_when_they_are_given() -> None:
    headers = [("X-A", "1")]

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", headers)
        headers.append(("X-B", "2"))
        return [b""]

    assert exchange(app).answer().all("x-b") == []


# write() --------------------------------------------------------------------------------------------------------------


def test_write_goes_out_at_once_and_before_the_iterable() -> None:
    seen: list[int] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        write = start_response("200 OK", TEXT)
        write(b"")
        seen.append(len(step.pieces))
        write(b"one")
        seen.append(len(step.pieces))
        write(b"two")
        seen.append(len(step.pieces))
        return [b"three", b"four"]

    step = Exchange(app)
    step.run()
    assert seen == [0, 1, 2]
    assert step.answer().body == b"onetwothreefour"
    assert step.answer().one("transfer-encoding") == b"chunked"


@pytest.mark.parametrize("data", ["text", bytearray(b"x"), memoryview(b"x"), None, 5])
def test_write_takes_bytes_only(data: Any) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", TEXT)(data)

    done = exchange(app)
    assert done.answer().status == 500
    assert f"not {type(data).__name__}" in str(done.log.fields("request_failed")["error"])


def test_write_beyond_the_declared_length_is_cut() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        write = start_response("200 OK", [("Content-Length", "4")])
        write(b"abc")
        write(b"def")
        write(b"ghi")
        return [b"jkl"]

    done = exchange(app)
    assert done.answer().body == b"abcd"
    assert done.response.keep_alive
    assert "longer than its Content-Length" in str(done.log.fields("bad_response")["problem"])


def test_write_when_the_client_is_gone_stops_the_application() -> None:
    reached = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        write = start_response("200 OK", TEXT)
        write(b"1")
        write(b"2")
        reached.append(True)
        return [b"3"]

    dropped = []

    class Handler(WSGIRequestHandler):
        def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
            dropped.append(error)

    done = exchange(app, gone_after=1, handler_class=Handler)
    assert reached == []
    assert [type(error) for error in dropped] == [ClientGoneError]
    assert done.problems == []  # nobody's mistake
    assert not done.response.keep_alive
    assert len(done.pieces) == 1


def test_large_pieces_written_in_chunks() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", TEXT)(BIG)
        return iter([BIG, HUGE])

    assert exchange(app).answer().body == BIG + BIG + HUGE


# Content-Length -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, tuple, iter])
@pytest.mark.parametrize("items", [[b"abc"], [b"a", b"bc"], [b""], []])
def test_a_body_shorter_than_declared_closes_the_connection(kind: Any, items: list[bytes]) -> None:
    done = exchange(returns(kind(items), headers=[("Content-Length", "5")]))
    assert not done.response.keep_alive
    assert "shorter than its Content-Length" in str(done.log.fields("bad_response")["problem"])
    with pytest.raises(WireError):
        parse_answer(done.raw)


LONGER = [[b"abcdef"], [b"abcde", b"f"], [b"ab", b"cdef", b"gh"], [BIG], [HUGE, b"x"]]


@pytest.mark.parametrize("kind", [list, tuple, iter])
@pytest.mark.parametrize("items", LONGER, ids=lambda items: repr(items)[:20])
def test_a_body_longer_than_declared_is_cut(kind: Any, items: list[bytes]) -> None:
    done = exchange(returns(kind(items), headers=[("Content-Length", "5")]))
    assert done.answer().body == b"".join(items)[:5]
    assert done.response.keep_alive
    assert "longer than its Content-Length" in str(done.log.fields("bad_response")["problem"])
    assert done.access.lines == [("/p/a", 200, 5)]


def test_iteration_stops_once_the_declared_length_is_exceeded() -> None:
    # PEP 3333, "Handling the Content-Length Header": the server should stop iterating.
    def forever() -> Iterator[bytes]:
        while True:
            yield b"abc"

    done = exchange(returns(forever(), headers=[("Content-Length", "5")]))
    assert done.answer().body == b"abcab"


def test_an_iterable_that_keeps_its_word_runs_to_its_end() -> None:
    ran_out = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "3")])
        yield b"abc"
        ran_out.append(True)

    assert exchange(app).problems == []
    assert ran_out == [True]


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", ["text", 5, None, bytearray(b"x"), memoryview(b"x")])
@pytest.mark.parametrize("kind", [list, tuple, iter])
@pytest.mark.parametrize("before", [0, 1])
def test_items_are_bytes(item: Any, kind: Any, before: int) -> None:
    done = exchange(returns(kind([b"x"] * before + [item])))
    assert f"it gave {type(item).__name__}" in str(done.log.fields("request_failed")["error"])
    if before and b"500" not in done.raw[:15]:
        assert not done.response.keep_alive
        with pytest.raises(WireError):
            parse_answer(done.raw)
    else:
        assert done.answer().status == 500


@pytest.mark.parametrize("body", [None, 5, "text"])
def test_what_is_no_iterable_of_bytes_becomes_a_500(body: Any) -> None:
    assert exchange(returns(body)).answer().status == 500


@pytest.mark.parametrize(
    "error",
    [RuntimeError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError(), RecursionError()],
)
@pytest.mark.parametrize("where", ["call", "first", "second"])
def test_an_error_of_the_application_is_a_500_or_a_cut(error: BaseException, where: str) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", TEXT)
        if where == "call":
            raise error
        return Body(*([b"x"] if where == "second" else []), error=error)

    done = exchange(app)
    assert done.problems == ["request_failed", "traceback"]
    assert str(done.log.fields("request_failed")["error"]).startswith(type(error).__name__)
    if where == "second":
        assert not done.response.keep_alive
        assert done.access.lines == [("/p/a", 200, 1)]
    else:
        assert (done.answer().status, done.answer().body) == (500, b"500 Internal Server Error\n")
        assert done.answer().one("cache-control") == b"no-store"
        assert done.access.lines == [("/p/a", 500, 26)]


def test_an_error_answers_head_without_body() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        raise RuntimeError("x")

    answer = exchange(app, "HEAD").answer()
    assert (answer.status, answer.body, answer.one("content-length")) == (500, b"", b"26")


def test_an_error_that_cannot_be_printed_is_reported() -> None:
    class Mute(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        raise Mute

    done = exchange(app)
    assert done.answer().status == 500
    assert "Mute" in str(done.log.fields("request_failed")["error"])


def test_the_500_forgets_the_headers_of_the_application() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [("Content-Length", "3"), ("Set-Cookie", "secret"), ("Connection", "close")])
        raise RuntimeError("x")

    answer = exchange(app).answer()
    assert answer.status == 500
    assert answer.all("set-cookie") == []
    assert answer.one("content-length") == b"26"


# Early hints ----------------------------------------------------------------------------------------------------------


def test_early_hints_come_first() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        environ["wsgi.early_hints"]([("Link", "</a>; rel=preload")])
        seen.append(len(step.pieces))
        environ["wsgi.early_hints"]([("Link", "</b>; rel=preload")])
        start_response("200 OK", TEXT)
        return [b"x"]

    seen: list[int] = []
    step = Exchange(app)
    step.run()
    assert seen == [1]
    assert [interim.status_code for interim in step.answer().interim] == [103, 103]
    assert step.answer().body == b"x"


def test_early_hints_are_not_for_http_1_0_and_not_for_late_ones() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        environ["wsgi.early_hints"]([("Link", "early")])
        start_response("200 OK", TEXT)(b"x")
        environ["wsgi.early_hints"]([("Link", "late")])
        hints.append(environ["wsgi.early_hints"])
        return []

    hints: list[Any] = []
    old = exchange(app, version="1.0")
    assert old.answer().interim == []
    new = exchange(app)
    assert [dict(i.headers)[b"link"] for i in new.answer().interim] == [b"early"]
    hints[-1]([("Link", "later")])
    assert b"later" not in new.raw


def test_bad_early_hints_are_the_applications_error() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        environ["wsgi.early_hints"]([("Link", "a\r\nb")])

    done = exchange(app)
    assert done.answer().status == 500
    assert done.problems == ["request_failed", "traceback"]
