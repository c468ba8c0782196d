"""What a development server says, as a person reads it in a terminal.

Owns: the words of records, access lines and their colours. It goes through the standard library's logger `prefork`, which is the
application's to configure; only if nobody has, lines go to stderr. Runs in: the developer's process, any thread. Must not know:
connections.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

NAME = "prefork"

_WORDS = {
    "request_failed": "Error on request",
    "close_failed": "Error in close() of the response to",
    "handler_failed": "Error in the request handler, on",
    "after_response_failed": "Error in after_response() of",
    "bad_response": "Bad response to",
    "internal_error": "Internal error",
}
"""Events that concern the developer; the others are told by their names."""

_RED, _GREEN, _YELLOW, _CYAN, _BOLD = "31", "32", "33", "36", "1"


def dev_logger() -> logging.Logger:
    """The logger `prefork`: level info and lines to stderr, unless somebody has decided about either."""
    logger = logging.getLogger(NAME)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        logger.addHandler(_ToTerminal())
    return logger


class _ToTerminal(logging.Handler):
    """To what sys.stderr is when a line is written: test suites replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            colour = getattr(record, "colour", "")
            if colour and is_colourful(sys.stderr, os.environ):
                text = painted(text, colour)
            sys.stderr.write(text + "\n")
        except Exception:  # noqa: BLE001 - logging.Handler.emit: errors go there
            self.handleError(record)


def is_colourful(stream: Any, environment: Any) -> bool:
    """Whether `stream` is a terminal of somebody who likes colours (https://no-color.org)."""
    return not environment.get("NO_COLOR") and hasattr(stream, "isatty") and bool(stream.isatty())


def painted(text: str, colour: str) -> str:
    """`text` in colours (ECMA-48 section 8.3.117, SGR)."""
    return f"\x1b[{colour}m{text}\x1b[0m"


def colour_of(status: int) -> str:
    """The colour of an access line; empty: none."""
    if status == 304:
        return _CYAN
    if status == 404:
        return _YELLOW
    return {1: _BOLD, 3: _GREEN, 4: f"{_BOLD};{_RED}", 5: f"{_BOLD};{_RED}"}.get(status // 100, "")


def access_line(
    environ: dict[str, Any], status: int, size: int, duration_ns: int, local: time.struct_time
) -> str:
    """`127.0.0.1 - - [21/Nov/2026 15:32:51] "GET / HTTP/1.1" 200 12 0.4ms`; `local` is the time of day."""
    # Of a refused request only some is known, and that may be anything: no escape sequences for the terminal.
    known = (environ.get(key) for key in ("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL"))
    request = " ".join(part for part in known if part) or "-"
    if not request.isprintable():
        request = repr(request)[1:-1]
    client = environ.get("REMOTE_ADDR") or "<local>"
    took = f"{duration_ns / 1e6:.1f}ms"
    return f'{client} - - [{time.strftime("%d/%b/%Y %H:%M:%S", local)}] "{request}" {status} {size} {took}'


class DevLog:
    """The log of a development server (an EventLog)."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def access(
        self,
        environ: dict[str, Any],
        status: int,
        size: int,
        duration_ns: int,
        _queued_ns: int = 0,
        _bytes_in: int = 0,
    ) -> None:
        """A request has been answered."""
        if self._logger.isEnabledFor(logging.INFO):
            line = access_line(environ, status, size, duration_ns, time.localtime())
            self._logger.info("%s", line, extra={"colour": colour_of(status)})

    def error(
        self, event: str, /, *, traceback: str = "", exception: BaseException | None = None, **fields: object
    ) -> None:
        """Something failed."""
        self._tell(self._logger.error, event, fields, traceback)

    def warning(self, event: str, /, *, traceback: str = "", **fields: object) -> None:
        """Somebody should look at it."""
        self._tell(self._logger.warning, event, fields, traceback)

    def info(self, event: str, /, **fields: object) -> None:
        """Something happened as it should."""
        self._tell(self._logger.info, event, fields)

    def debug(self, event: str, /, **fields: object) -> None:
        """For those who look for a fault in prefork itself."""
        self._tell(self._logger.debug, event, fields)

    def traceback(self, text: str, /, **fields: object) -> None:
        """One that belongs to no event."""
        self._logger.error("%s", text.rstrip("\n"))

    def _tell(
        self, write: Callable[..., None], event: str, fields: dict[str, object], traceback: str = ""
    ) -> None:
        text = sentence(event, fields)
        write("%s", f"{text}\n{traceback}".rstrip("\n") if traceback else text)


def sentence(event: str, fields: dict[str, object]) -> str:
    """`fields` of an event in words."""
    fields = {name: value for name, value in fields.items() if value not in ("", None)}
    request, client = fields.pop("request", None), fields.pop("client", "<local>")
    if event == "handler":
        return f"{client} - - {fields.get('message', '')}"
    text = _WORDS.get(event, event.replace("_", " "))
    if request is not None:
        text = f'{text} "{request}" of {client}'
    error = fields.pop("error", None)
    if error is not None:
        text = f"{text}: {error}"
    rest = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{text} ({rest})" if rest else text
