"""What every request of one worker shares: the application, the log, the server's own header lines.

Owns: `ServerContext`, the handler's view of the server it runs in. Built once by the worker. Must not know: sockets, epoll.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from prefork.wsgi.response import Stamp

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class EventLog(Protocol):
    """The part of the log that a request needs."""

    def error(self, event: str, /, **fields: object) -> None:
        """One line at level error."""

    def warning(self, event: str, /, **fields: object) -> None:
        """One line at level warning."""

    def debug(self, event: str, /, **fields: object) -> None:
        """One line at level debug."""

    def traceback(self, text: str, /, **fields: object) -> None:
        """A traceback, a line of the log for each of its lines."""


AccessLog = Callable[[dict[str, Any], int, int, int], None]
"""(environ, status, body bytes, duration in ns) -> one line of the access log."""


@dataclass(frozen=True, slots=True)
class ServerContext:
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


class ErrorStream(io.TextIOBase):
    """`wsgi.errors`: each line goes to the log at once, from any thread (PEP 3333), and never waits for its reader."""

    def __init__(self, write_line: Callable[[bytes], object]) -> None:
        self._write_line = write_line

    def writable(self) -> bool:
        """True: the stream is for writing only."""
        return True

    def write(self, text: str) -> int:
        """Writes; a full or broken log never fails a request."""
        for line in text.encode("utf-8", "backslashreplace").splitlines(keepends=True):
            self._write_line(line)
        return len(text)
