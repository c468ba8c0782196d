"""WSGIRequestHandler: its points of extension, each overridden, and what it does when such code fails."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefork.errors import BootError
from prefork.version import __version__
from prefork.wsgi.announce import server_header, server_software
from prefork.wsgi.failures import application_traceback
from prefork.wsgi.handler import WSGIRequestHandler
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
        def run_wsgi(self) -> None:
            if self.environ["PATH_INFO"] == "/p/a":
                response = self.response
                response.start_response("418 I'm a teapot", [("X-Short", "1")])
                response.begin([b"tea"])
            else:
                super().run_wsgi()

    answer = exchange(broken, handler_class=Handler).answer()
    assert (answer.status, answer.body) == (418, b"tea")


def test_run_wsgi_that_does_nothing_is_an_error() -> None:
    class Handler(WSGIRequestHandler):
        def run_wsgi(self) -> None:
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

        def log_request(self, code: int = 0, size: int = 0) -> None:
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
        def log_request(self, code: int = 0, size: int = 0) -> None:
            lines.append((self.request_line(), self.address_string(), self.port_integer(), code, size))
            assert self.duration_ns > 0

    done = exchange(hello, handler_class=Handler)
    assert lines == [("GET /p/a?q=1 HTTP/1.1", "192.0.2.7", 40001, 200, 5)]
    assert done.access.lines == []


def test_log_error() -> None:
    errors: list[Any] = []

    class Handler(WSGIRequestHandler):
        def log_error(self, format: str, *args: object) -> None:
            assert self.failure is not None
            assert "broken application" in self.failure.fields["traceback"]
            errors.append((format % args, self.failure.event))

    done = exchange(broken, handler_class=Handler)
    assert errors == [("request_failed: RuntimeError: broken application", "request_failed")]
    assert done.problems == []
    assert done.handler.failure is None


def test_words_of_a_subclass() -> None:
    class Handler(WSGIRequestHandler):
        def run_wsgi(self) -> None:
            self.log_error("%s of %d%%", "sum", 5)
            self.log_message("100%")
            super().run_wsgi()

        def log_error(self, format: str, *args: object) -> None:
            super().log_error("mine: " + format, *args)

    lines = exchange(hello, handler_class=Handler).log.lines
    assert [(level, event, fields["message"]) for level, event, fields in lines] == [
        ("error", "handler", "mine: sum of 5%"),
        ("info", "handler", "100%"),
    ]
    assert lines[0][2]["request"] == "GET /p/a?q=1 HTTP/1.1"


def test_an_override_that_goes_on_to_the_base_loses_nothing() -> None:
    class Handler(WSGIRequestHandler):
        def log_error(self, format: str, *args: object) -> None:
            super().log_error("Oh! " + format, *args)

    done = exchange(broken, handler_class=Handler)
    assert done.problems == ["request_failed", "traceback"]


def test_an_environ_of_its_own_is_the_environ_everywhere() -> None:
    class Handler(WSGIRequestHandler):
        def make_environ(self) -> dict[str, Any]:
            return {**super().make_environ(), "PATH_INFO": "/other", "REMOTE_ADDR": "2001:db8::1"}

    done = exchange(hello, handler_class=Handler)
    assert done.access.lines == [("/other", 200, 5)]


def test_what_a_handler_of_http_server_would_see() -> None:
    seen: list[Any] = []

    class Handler(WSGIRequestHandler):
        def make_environ(self) -> dict[str, Any]:
            seen.append((self.command, self.path, self.request_version))
            fields = self.headers
            seen.append((fields["host"], fields.get("X-a"), fields.get("X_A"), fields["content-length"]))
            seen.append((dict(fields), len(fields)))
            return super().make_environ()

    exchange(hello, "PUT", fields="X-A: 1\r\nX-A: 2\r\n", body=b"abc", handler_class=Handler)
    assert seen[0] == ("PUT", "/p/a?q=1", "HTTP/1.1")
    assert seen[1] == ("example.org", "1,2", None, "3")
    assert seen[2] == ({"Host": "example.org", "X-A": "1,2", "Content-Length": "3"}, 3)


@pytest.mark.parametrize(
    ("attributes", "setting", "software", "header"),
    [
        ({}, "prefork", f"prefork/{__version__}", "prefork"),
        ({"server_version": "shop/1"}, "prefork", "shop/1", "shop/1"),
        ({"server_version": "shop/1"}, "", "shop/1", ""),
        ({"server_version": "shop/1"}, "nginx", "shop/1", "nginx"),
        ({"version_string": lambda self: self.server_version + " (x)"}, "prefork", None, None),
        ({"version_string": lambda self: ""}, "prefork", None, ""),
    ],
)
def test_what_the_server_calls_itself(
    attributes: dict[str, Any], setting: str, software: str | None, header: str | None
) -> None:
    handler_class = type("Handler", (WSGIRequestHandler,), attributes)
    own = f"prefork/{__version__}"
    assert server_software(handler_class) == (software or own)
    assert server_header(handler_class, setting, "prefork") == (f"{own} (x)" if header is None else header)


@pytest.mark.parametrize(
    "attributes",
    [
        {"server_version": "a\r\nSet-Cookie: b"},
        {"server_version": property(lambda self: "x")},
        {"version_string": lambda self: None},
        {"version_string": lambda self: self.server.app},
    ],
)
def test_what_is_no_name_for_a_server(attributes: dict[str, Any]) -> None:
    handler_class = type("Mine", (WSGIRequestHandler,), attributes)
    with pytest.raises(BootError, match=r"Mine\."):
        server_header(handler_class, "prefork", "prefork")


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
    stream = step.request.body.as_input()  # type: ignore[union-attr]
    step.end(BrokenPipeError())
    assert step.answer().status == 500
    assert "traceback" in step.problems
    assert any(type(error).__name__ in str(fields) for _, _, fields in step.log.lines)
    assert stream.closed


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
    done.access.entries.clear()  # which the test keeps
    gc.collect()
    assert done.handler.request is None
    assert things[0]() is None
