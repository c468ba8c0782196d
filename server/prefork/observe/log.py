"""The log of a process: what is told, from which level on, and what every record carries.

Owns: levels, context. Runs in: every process. Must not know: forms of lines (see `lines`), where they go (see `sinks`), settings.

Not the standard `logging` package: that one belongs to the application, which may configure, replace or
lock it. Whoever wants the log there asks for it (`[log] config`, see `handlers`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from prefork.observe.record import RANK, TRACEBACK, Level, Record
from prefork.observe.sinks import LineSink, Sink


class Log:
    """Tells records to a sink. No method raises or waits for a slow reader."""

    __slots__ = ("_context", "_level", "_rank", "_sink")

    def __init__(self, sink: Sink | int, level: Level, /, **context: object) -> None:
        """`level` is the lowest that is written; `context` are fields of every record. A descriptor as the sink: logfmt."""
        self._sink: Sink = LineSink(sink) if isinstance(sink, int) else sink
        self._level: Level = level
        self._rank = RANK[level]
        self._context = context

    @property
    def fd(self) -> int:
        """The descriptor that plain lines go to."""
        return self._sink.fd

    @property
    def level(self) -> Level:
        """The lowest level that is written."""
        return self._level

    def bind(self, **context: object) -> Log:
        """A log to the same sink whose records carry `context` too."""
        return Log(self._sink, self._level, **{**self._context, **context})

    def debug(self, event: str, /, **fields: object) -> None:
        """For those who look for a fault in prefork itself."""
        self._tell("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Something happened as it should."""
        self._tell("info", event, fields)

    def warning(self, event: str, /, *, traceback: str = "", **fields: object) -> None:
        """Somebody should look at it, nobody has to get up at night. `traceback` belongs to it: several lines."""
        self._tell("warning", event, fields, traceback)

    def error(
        self, event: str, /, *, traceback: str = "", exception: BaseException | None = None, **fields: object
    ) -> None:
        """Something failed that a client or the operator notices. `traceback` belongs to it, and is that of `exception`."""
        self._tell("error", event, fields, traceback, exception)

    def traceback(self, text: str, /, **fields: object) -> None:
        """One that belongs to no event, or to one that is told already."""
        self._tell("error", TRACEBACK, fields, text)

    def words(self, text: str) -> None:
        """What the application wrote to `wsgi.errors`; whatever the level of the log."""
        self._sink.tell(Record(time.time_ns(), "warning", "", {}, text, None, self._context))

    def _tell(
        self,
        level: Level,
        event: str,
        fields: Mapping[str, object],
        traceback: str = "",
        exception: BaseException | None = None,
    ) -> None:
        if RANK[level] < self._rank:
            return
        lost = self._sink.lost
        if lost:
            fields = {**fields, "lost_lines": lost}
        self._sink.tell(Record(time.time_ns(), level, event, fields, traceback, exception, self._context))
