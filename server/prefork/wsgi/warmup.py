"""Requests that nobody sent: the application answers them before any client can ask.

Owns: a GET request as an application sees it, made without a connection, and what counts as a failure. Runs in: zygote
(before its image is frozen), or worker if it imports the application itself. Must not know: settings, processes, sockets.

A server error (5xx) or an exception is a failure; what the application wrote to `wsgi.errors` meanwhile is told with it, for
frameworks turn exceptions into a 500 and write the traceback there. Everything else (a redirect to a login page) is as good
as any answer.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from prefork.errors import BootError
from prefork.http.limits import Limits
from prefork.http.receiver import RequestReceiver
from prefork.wsgi.context import WSGIApplication
from prefork.wsgi.environ import connection_environ
from prefork.wsgi.failures import application_traceback

STAGE = "warmup"

KEY = "prefork.warmup"
"""True in the environ of such a request, for applications that count their visitors."""

_MOST_ERRORS = 32 * 1024


class Answer(msgspec.Struct, frozen=True):
    """How the application answered one of them."""

    target: str
    status: str
    seconds: float


def warm_up(application: WSGIApplication, environ: Mapping[str, Any], targets: Iterable[str]) -> list[Answer]:
    """GET each of `targets`, in order. `environ` holds what all requests share (`environ.server_environ`).

    Raises BootError (stage "warmup") at the first failure, with the application's traceback or its last words.
    """
    return [_ask(application, environ, target) for target in targets]


def _ask(application: WSGIApplication, shared: Mapping[str, Any], target: str) -> Answer:
    errors = _Errors(shared["wsgi.errors"])
    base = connection_environ({**shared, "wsgi.errors": errors, KEY: True}, ("127.0.0.1", 0))
    head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: prefork-warmup\r\nAccept: */*\r\n\r\n"
    request = RequestReceiver(Limits(max_request_line=1 << 20), base, io.BytesIO).feed(head.encode("ascii"))
    assert request is not None, "the request is whole"
    call = _Call()
    started = time.monotonic()
    try:
        status = call.run(application, {**request.environ, "wsgi.input": io.BytesIO()})
    except BaseException as error:
        text = f"GET {target} raised {type(error).__name__}: {_text(error)}"
        raise BootError(STAGE, text, application_traceback(error)) from error
    if not status or status[0] == "5":
        raise BootError(STAGE, f"GET {target} was answered {status or 'without a status'}", errors.text())
    return Answer(target, status, time.monotonic() - started)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # noqa: BLE001 - __str__ is application code too
        return f"(its str() raised {type(second).__name__})"


class _Call:
    """One call of the application, its body taken to the end and thrown away."""

    def __init__(self) -> None:
        self._status = ""

    def run(self, application: WSGIApplication, environ: dict[str, Any]) -> str:
        """Returns the status line; whatever the application raises comes through."""
        body = application(environ, self._start_response)
        try:
            for _ in body:
                pass
        finally:
            close: Callable[[], object] | None = getattr(body, "close", None)
            if close is not None:
                close()
        return self._status

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if self._status and exc_info is None:
            raise AssertionError("start_response was called twice without exc_info")
        self._status = status
        return _write


def _write(_data: bytes) -> None:
    pass


class _Errors(io.TextIOBase):
    """`wsgi.errors` that remembers its end."""

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream
        self._written: list[str] = []

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._written.append(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def text(self) -> str:
        return "".join(self._written)[-_MOST_ERRORS:]
