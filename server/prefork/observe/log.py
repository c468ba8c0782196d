"""The log: one event, one line of `key=value` pairs, one write.

Owns: levels, the fields every line starts with, the length of a line, the opening of log files. Runs in:
every process. Must not know: slow readers (see `writer`), escaping (see `logfmt`), settings.

Not the standard `logging` package: that one belongs to the application, which may configure, replace or
lock it.

    time=2026-11-21T11:17:12.123Z level=info event=worker_ready role=master pid=1 worker=2 gen=3
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Literal

from prefork.errors import ConfigError
from prefork.observe.logfmt import format_pairs
from prefork.observe.writer import LineWriter

Level = Literal["debug", "info", "warning", "error"]

MAX_LINE = 4096
"""Bytes of the longest line: PIPE_BUF, up to which a pipe keeps the lines of several processes whole
(pipe(7)).
"""

_RANK: dict[str, int] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_RESERVED = frozenset({"time", "level", "event"})
_VALUE_LIMITS = (3000, 1000, 250, 60)
"""Characters a value may have, tried in this order until the line fits."""


class Log:
    """Writes lines to a descriptor it does not own. No method raises or waits for a slow reader."""

    __slots__ = ("_context", "_level", "_rank", "_writer")

    def __init__(self, fd: int, level: Level, /, **context: object) -> None:
        """`level` is the lowest that is written; `context` are fields of every line."""
        self._writer = LineWriter(fd)
        self._level: Level = level
        self._rank = _RANK[level]
        self._context = context

    @property
    def fd(self) -> int:
        """The descriptor the lines go to."""
        return self._writer.fd

    @property
    def level(self) -> Level:
        """The lowest level that is written."""
        return self._level

    def bind(self, **context: object) -> Log:
        """A log to the same descriptor whose lines carry `context` too."""
        bound = object.__new__(Log)
        bound._writer = self._writer
        bound._level = self._level
        bound._rank = self._rank
        bound._context = {**self._context, **context}
        return bound

    def debug(self, event: str, /, **fields: object) -> None:
        """For those who look for a fault in prefork itself."""
        self._emit("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Something happened as it should."""
        self._emit("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Somebody should look at it, nobody has to get up at night."""
        self._emit("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Something failed that a client or the operator notices."""
        self._emit("error", event, fields)

    def traceback(self, text: str, /, **fields: object) -> None:
        """Each line of `text` as one line of level error, `event=traceback line="..."`."""
        for line in text.splitlines():
            self._emit("error", "traceback", {"line": line, **fields})

    def _emit(self, level: Level, event: str, fields: Mapping[str, object]) -> None:
        if _RANK[level] < self._rank:
            return
        fields = {**self._context, **fields}
        if self._writer.lost:
            fields["lost_lines"] = self._writer.lost
        self._writer.write(format_line(time.time_ns(), level, event, fields))


def format_line(now_ns: int, level: Level, event: str, fields: Mapping[str, object]) -> bytes:
    """One line with its newline, at most MAX_LINE bytes: long values are cut (marked `...`) until it fits.

    `now_ns` is the Unix time. Fields that are None are left out. A field called time, level or event gets an
    underscore behind its name.
    """
    pairs = {"time": format_time(now_ns), "level": level, "event": event}
    for key, value in fields.items():
        if value is not None:
            pairs[f"{key}_" if key in _RESERVED else key] = _text(value)
    for limit in _VALUE_LIMITS:
        line = format_pairs({key: _cut(value, limit) for key, value in pairs.items()}).encode() + b"\n"
        if len(line) <= MAX_LINE:
            return line
    return format_pairs({key: _cut(pairs[key], limit) for key in ("time", "level", "event")}).encode() + b"\n"


def format_time(now_ns: int) -> str:
    """Unix time in nanoseconds as RFC 3339 in UTC with milliseconds: `2026-11-21T11:17:12.123Z`."""
    seconds, rest = divmod(now_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1_000_000:03d}Z"


def open_log(path: str) -> int:
    """Open the log file `path` for appending, mode 0640 if it is new; the descriptor is close-on-exec.

    Called by the master before it drops privileges, so the file may belong to root. Raises ConfigError.
    """
    # O_NONBLOCK: means nothing to a file, and keeps the open of a FIFO without a reader from hanging
    # (fifo(7)).
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o640)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot open the log file {path!r}: {_reason(path, error)}") from error


def _reason(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "its directory does not exist"
    if isinstance(error, PermissionError):
        return f"permission denied for user id {os.geteuid()}"
    if isinstance(error, IsADirectoryError):
        return "it is a directory"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - the value may be the application's
        return f"<{type(value).__name__}: its str() raised {type(error).__name__}>"
