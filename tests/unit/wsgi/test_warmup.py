"""Requests that nobody sent: complete for the application, and strict about its answers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from prefork.errors import BootError
from prefork.wsgi.environ import server_environ
from prefork.wsgi.warmup import KEY, warm_up
from support.serving import App, make_context


def ask(app: App, *targets: str, errors: io.TextIOBase | None = None) -> list[tuple[str, str]]:
    context = make_context(app, errors=errors or io.StringIO())
    answers = warm_up(app, server_environ(context, "127.0.0.1", "8000"), targets)
    return [(answer.target, answer.status) for answer in answers]


def answering(status: str, *parts: bytes) -> App:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, [])
        return parts

    return app


def failure(app: App, *targets: str) -> BootError:
    with pytest.raises(BootError) as caught:
        ask(app, *(targets or ("/",)))
    assert caught.value.stage == "warmup"
    return caught.value


def test_the_environ_is_that_of_a_request() -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen.append({**environ, "read": environ["wsgi.input"].read()})
        start_response("200 OK", [])
        return []

    assert ask(app, "/a%20b/?q=1&r=%C3%A4", "/") == [("/a%20b/?q=1&r=%C3%A4", "200 OK"), ("/", "200 OK")]
    first = seen[0]
    assert (first["REQUEST_METHOD"], first["PATH_INFO"], first["QUERY_STRING"]) == (
        "GET",
        "/a b/",
        "q=1&r=%C3%A4",
    )
    assert (first["SERVER_NAME"], first["SERVER_PORT"], first["SERVER_PROTOCOL"]) == (
        "127.0.0.1",
        "8000",
        "HTTP/1.1",
    )
    assert (first["HTTP_HOST"], first["REMOTE_ADDR"]) == ("localhost", "127.0.0.1")
    assert first["read"] == b""
    assert first[KEY] is True
    assert first["wsgi.version"] == (1, 0)
    assert seen[0] is not seen[1]


@pytest.mark.parametrize(
    "status", ["200 OK", "204 No Content", "302 Found", "404 Not Found", "401 Unauthorized"]
)
def test_anything_but_an_error_of_the_server_will_do(status: str) -> None:
    assert ask(answering(status, b"x"), "/") == [("/", status)]


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Service Unavailable"])
def test_an_error_of_the_server_will_not(status: str) -> None:
    assert failure(answering(status), "/health").error == f"GET /health was answered {status}"


def test_what_the_application_wrote_meanwhile_is_told_with_it() -> None:
    stream = io.StringIO()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        print("Traceback (most recent call last):\n  in view", file=environ["wsgi.errors"])
        start_response("500 Oops", [])
        return []

    with pytest.raises(BootError) as caught:
        ask(app, "/", errors=stream)
    assert caught.value.traceback == "Traceback (most recent call last):\n  in view\n"
    assert stream.getvalue() == caught.value.traceback, "the log has it too"


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["call", "body", "close"])
def test_an_exception_comes_with_the_traceback_of_the_application_alone(
    kind: type[BaseException], where: str
) -> None:
    error = kind("no such table")

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            if where == "body":
                raise error

        def close(self) -> None:
            if where == "close":
                raise error

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        if where == "call":
            raise error
        return Body()

    found = failure(app)
    assert found.error.startswith(f"GET / raised {kind.__name__}")
    assert kind.__name__ in found.traceback
    assert "wsgi/warmup.py" not in found.traceback


def test_the_body_is_taken_to_its_end_and_closed() -> None:
    taken: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            taken.append("first")
            yield b"x"
            taken.append("last")

        def close(self) -> None:
            taken.append("closed")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])(b"written")
        return Body()

    ask(app, "/")
    assert taken == ["first", "last", "closed"]


def test_a_status_may_come_with_the_first_item() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x"

    assert ask(app, "/") == [("/", "200 OK")]


def test_no_status_at_all_is_a_failure() -> None:
    assert "without a status" in failure(lambda environ, start_response: []).error


def test_the_first_failure_ends_it() -> None:
    paths: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        paths.append(environ["PATH_INFO"])
        start_response("500 Oops" if len(paths) == 2 else "200 OK", [])
        return []

    assert "/b" in failure(app, "/a", "/b", "/c").error
    assert paths == ["/a", "/b"]


def test_an_error_page_through_exc_info_counts_by_its_status() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("500 Oops", [], (ValueError, ValueError(), None))
        return []

    failure(app)
