"""What every request of one worker shares: the application, the log, the server's own header lines.

Owns: `ServerContext`, the handler's view of the server it runs in. Built once by the worker. Must not know: sockets, epoll.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from prefork.wsgi.response import Stamp

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class EventLog(Protocol):
    """The part of the log that a request needs."""

    def error(
        self, event: str, /, *, traceback: str = "", exception: BaseException | None = None, **fields: object
    ) -> None:
        """One record of level error, and the traceback that belongs to it."""

    def warning(self, event: str, /, *, traceback: str = "", **fields: object) -> None:
        """One line at level warning."""

    def info(self, event: str, /, **fields: object) -> None:
        """One line at level info."""

    def debug(self, event: str, /, **fields: object) -> None:
        """One line at level debug."""

    def traceback(self, text: str, /, **fields: object) -> None:
        """A traceback, a line of the log for each of its lines."""


AccessLog = Callable[[dict[str, Any], int, int, int, int, int], None]
"""(environ, status, body bytes, duration in ns, time it waited in ns, bytes of the request body): the access log."""


class ServerContext(msgspec.Struct, frozen=True):
    """Shared by all connections of a worker; read-only after start."""

    app: WSGIApplication
    stamp: Stamp
    log: EventLog
    access: AccessLog | None
    errors: io.TextIOBase
    server_software: str
    multithread: bool
    multiprocess: bool = True
    app_name: str = ""
    """`[app] target`, for messages about what the application does wrong."""
    extra: tuple[tuple[str, Any], ...] = ()
    """Further environ entries that are the same for every request (prefork.worker, prefork.generation)."""
    escaped: Callable[[BaseException], bool] | None = None
    """Asked about what the application raises: True, somebody else sees to it (a development server that ends with it)."""


class ErrorStream(io.TextIOBase):
    """`wsgi.errors`: what is written goes to the log at once, from any thread (PEP 3333), and never waits for its reader."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def writable(self) -> bool:
        """True: the stream is for writing only."""
        return True

    def write(self, text: str) -> int:
        """Writes; a full or broken log never fails a request."""
        self._write(text)
        return len(text)
