"""WSGIRequestHandler: its points of extension, each overridden, and what it does when such code fails."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefork.wsgi.failures import application_traceback
from prefork.wsgi.handler import WSGIRequestHandler
from prefork.wsgi.response import Response
from support.serving import hello
from support.wsgi import PEER, Exchange, exchange

Start = Callable[..., Any]


def broken(environ: dict[str, Any], start_response: Start) -> Any:
    raise RuntimeError("broken application")


# Overriding -----------------------------------------------------------------------------------------------------------


def test_make_environ() -> None:
    class Handler(WSGIRequestHandler):
        def make_environ(self) -> dict[str, Any]:
            environ = super().make_environ()
            environ["my.key"] = self.client_address
            return environ

    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        seen.append(environ["my.key"])
        return hello(environ, start_response)

    assert exchange(app, handler_class=Handler).answer().body == b"hello"
    assert seen == [PEER]


def test_run_wsgi() -> None:
    class Handler(WSGIRequestHandler):
        def run_wsgi(self, response: Response) -> None:
            if self.environ["PATH_INFO"] == "/p/a":
                response.start_response("418 I'm a teapot", [("X-Short", "1")])
                response.begin([b"tea"])
            else:
                super().run_wsgi(response)

    answer = exchange(broken, handler_class=Handler).answer()
    assert (answer.status, answer.body) == (418, b"tea")


def test_run_wsgi_that_does_nothing_is_an_error() -> None:
    class Handler(WSGIRequestHandler):
        def run_wsgi(self, response: Response) -> None:
            pass

    done = exchange(hello, handler_class=Handler)
    assert done.answer().status == 500
    assert "start_response" in str(done.log.fields("request_failed")["error"])


def test_connection_dropped_comes_before_the_log_and_after_close() -> None:
    calls: list[Any] = []

    class Handler(WSGIRequestHandler):
        def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
            assert environ is not None
            calls.append((type(error), environ["PATH_INFO"]))

        def log_request(self, code: int, size: int, duration_ns: int) -> None:
            calls.append((code, size))

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield b"one"
            yield b"two"
        finally:
            calls.append("closed")

    step = Exchange(app, handler_class=Handler).respond()
    step.pull()
    step.end(BrokenPipeError())
    assert calls == ["closed", (BrokenPipeError, "/p/a"), (200, 3)]


def test_connection_dropped_is_not_called_when_all_is_well() -> None:
    class Handler(WSGIRequestHandler):
        def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
            raise AssertionError(error)

    for app in (hello, broken):
        assert exchange(app, handler_class=Handler).answer().status in (200, 500)


def test_log_request() -> None:
    lines: list[Any] = []

    class Handler(WSGIRequestHandler):
        def log_request(self, code: int, size: int, duration_ns: int) -> None:
            lines.append((self.request_line(), self.address_string(), self.port_integer(), code, size))
            assert duration_ns >= 0

    done = exchange(hello, handler_class=Handler)
    assert lines == [("GET /p/a?q=1 HTTP/1.1", "192.0.2.7", 40001, 200, 5)]
    assert done.access.lines == []


def test_log_error() -> None:
    errors: list[Any] = []

    class Handler(WSGIRequestHandler):
        def log_error(self, event: str, /, **fields: object) -> None:
            errors.append((event, fields["error"]))

    done = exchange(broken, handler_class=Handler)
    assert errors == [("request_failed", "RuntimeError: broken application")]
    assert done.problems == []


def test_address_string_is_used_in_logs() -> None:
    class Handler(WSGIRequestHandler):
        def address_string(self) -> str:
            return "somebody"

    assert exchange(broken, handler_class=Handler).log.fields("request_failed")["client"] == "somebody"


def test_a_handler_serves_one_request_after_the_other() -> None:
    first = exchange(hello)
    handler = first.handler
    for _ in range(3):
        again = Exchange(hello)
        response = handler.respond(again.request, True)
        assert handler.pull(response) is not None
        handler.end(response)
    assert first.access.lines == [("/p/a", 200, 5)] * 4


# What a request looks like to it --------------------------------------------------------------------------------------


def test_names_of_the_client() -> None:
    tcp = Exchange(hello).respond().handler
    assert (tcp.address_string(), tcp.port_integer()) == ("192.0.2.7", 40001)
    unix = Exchange(hello, peer="").respond().handler
    assert (unix.address_string(), unix.port_integer()) == ("", 0)
    fresh = Exchange(hello).handler
    assert (fresh.address_string(), fresh.request_line()) == ("192.0.2.7", "")


def test_errors_name_the_request_and_the_client() -> None:
    done = exchange(broken)
    assert done.log.fields("request_failed") == {
        "request": "GET /p/a?q=1 HTTP/1.1",
        "client": "192.0.2.7",
        "error": "RuntimeError: broken application",
    }


def test_tracebacks_begin_in_the_application() -> None:
    text = str(exchange(broken).log.fields("traceback")["text"])
    assert "broken application" in text
    assert "in broken" in text
    assert "wsgi/handler.py" not in text
    try:
        int("x")
    except ValueError as error:
        assert "test_handler.py" in application_traceback(error)
    assert "ValueError: no frames" in application_traceback(ValueError("no frames"))


# Code of a subclass that fails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["make_environ", "run_wsgi"])
def test_an_error_before_the_application_is_a_500(method: str) -> None:
    def fail(self: Any, *args: Any) -> Any:
        raise RuntimeError("mine")

    handler_class = type("Handler", (WSGIRequestHandler,), {method: fail})
    done = exchange(hello, handler_class=handler_class)
    assert done.answer().status == 500
    assert done.problems == ["request_failed", "traceback"]


@pytest.mark.parametrize(
    "method", ["log_request", "connection_dropped", "log_error", "address_string", "request_line"]
)
@pytest.mark.parametrize("error", [RuntimeError("mine"), SystemExit(1), BrokenPipeError()])
def test_an_error_at_the_end_is_reported_and_spoils_nothing(method: str, error: BaseException) -> None:
    def fail(self: Any, *args: Any, **fields: Any) -> Any:
        raise error

    handler_class = type("Handler", (WSGIRequestHandler,), {method: fail})
    body = b"x" * 2000
    step = Exchange(broken, "POST", body=body, handler_class=handler_class).respond()
    while step.pull():
        pass
    step.end(BrokenPipeError())
    assert step.answer().status == 500
    assert "traceback" in step.problems
    assert any(type(error).__name__ in str(fields) for _, _, fields in step.log.lines)
    assert step.request.body._file.closed  # type: ignore[union-attr]


# Nothing is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 5000])
def test_the_request_body_is_closed(size: int) -> None:
    inputs: list[Any] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        inputs.append(environ["wsgi.input"])
        assert environ["wsgi.input"].read() == b"x" * size
        return hello(environ, start_response)

    assert exchange(app, "POST", body=b"x" * size).answer().status == 200
    assert inputs[0].closed


def test_an_idle_connection_keeps_nothing_of_its_last_request() -> None:
    class Thing:
        pass

    things: list[Any] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        environ["app.thing"] = thing = Thing()
        things.append(weakref.ref(thing))
        return hello(environ, start_response)

    done = exchange(app)
    done.request = None  # type: ignore[assignment]
    gc.collect()
    assert done.handler.request is None
    assert things[0]() is None
