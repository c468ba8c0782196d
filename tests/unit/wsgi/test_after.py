"""`prefork.after_response`: bound to the request it was called in."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import pytest

import prefork
from support.serving import station

Start = Callable[..., Any]


def test_outside_of_a_request() -> None:
    with pytest.raises(RuntimeError, match="while a request is served"):
        contextvars.Context().run(prefork.after_response, print)


@pytest.mark.parametrize("threads", [1, 2])
def test_it_runs_in_order_after_close_and_errors_are_logged(threads: int) -> None:
    happened: list[str] = []

    class Body:
        def __iter__(self) -> Any:
            prefork.after_response(lambda: happened.append("second"))
            yield b"body"

        def close(self) -> None:
            happened.append("close")

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        prefork.after_response(lambda: happened.append("first"))
        prefork.after_response(lambda: happened[99])
        start_response("200 OK", [])
        return Body()

    with station(app, threads=threads) as made:
        answer = made.connect().ask()
        assert b"body" in answer
        made.until(lambda: len(happened) == 3 and made.executor.idle, "the calls")
        assert happened == ["close", "first", "second"]
        fields = made.log.fields("after_response_failed")
        assert fields == {"request": "GET / HTTP/1.1", "error": "IndexError: list index out of range"}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_connection_has_ended_when_it_runs(threads: int) -> None:
    seen: list[bool] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        prefork.after_response(lambda: seen.append(client.ended() or threads > 1))
        start_response("200 OK", [])
        return [b"body"]

    with station(app, threads=threads) as made:
        client = made.connect()
        client.ask(b"GET / HTTP/1.0\r\n\r\n")
        made.until(lambda: seen, "the call")
        assert seen == [True]
        assert client.ended()


def test_each_request_has_its_own() -> None:
    """A response that waits for its client does not mix with those that are served meanwhile."""
    happened: list[str] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Length", str(4_000_000 if path == "/big" else 1))])
        if path != "/big":
            prefork.after_response(lambda: happened.append(path))
            return [b"x"]

        def pieces() -> Any:
            for _ in range(400):
                yield b"x" * 10_000
            prefork.after_response(lambda: happened.append(path))

        return pieces()

    with station(app) as made:
        slow = made.connect(b"GET /big HTTP/1.1\r\nHost: t\r\n\r\n", sndbuf=4096)
        made.turn(3)
        for number in (1, 2):
            client = made.connect(b"GET /%d HTTP/1.1\r\nHost: t\r\n\r\n" % number)
            made.until(client.read_some, "the answer")
        assert happened == ["/1", "/2"]
        made.until(lambda: len(slow.read_some()) > 4_000_000, "the big response")
        made.settle()
        assert happened == ["/1", "/2", "/big"]


def test_a_request_that_fails_and_one_whose_client_has_gone() -> None:
    happened: list[str] = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        prefork.after_response(lambda: happened.append(environ["PATH_INFO"]))
        if environ["PATH_INFO"] == "/gone":
            client.close()
            start_response("200 OK", [])
            return [b"x" * 1_000_000] * 5
        raise RuntimeError("failed")

    with station(app) as made:
        client = made.connect()
        assert b" 500 " in client.ask(b"GET /failed HTTP/1.1\r\nHost: t\r\n\r\n")
        client.send(b"GET /gone HTTP/1.1\r\nHost: t\r\n\r\n")
        made.until(lambda: len(happened) == 2, "both calls")
        assert happened == ["/failed", "/gone"]
