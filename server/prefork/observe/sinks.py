"""Where records go: lines to a descriptor, or the journal.

Owns: the choice, and what is written when the journal is gone. Runs in: every process. Must not know: levels, settings beyond the
name of a format.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from prefork.observe.journald import JournalSocket, is_journal, journal_packet
from prefork.observe.lines import MAX_LINE, MAX_LINE_OF_FILE, Form, json_lines, logfmt_lines
from prefork.observe.record import Record
from prefork.observe.writer import LineWriter

_PREFIXES = {"debug": b"<7>", "info": b"<6>", "warning": b"<4>", "error": b"<3>"}
"""What the journal takes for the priority of a plain line, and does not store (sd-daemon(3))."""


class Sink(Protocol):
    """Takes records. Never raises, never waits for long."""

    @property
    def fd(self) -> int:
        """Where plain lines go that belong beside the records."""

    @property
    def lost(self) -> int:
        """Records (or lines) lost since the last one that was taken."""

    def tell(self, record: Record) -> None:
        """Write it down."""


class LineSink:
    """Lines to a descriptor that somebody else opened and closes."""

    __slots__ = ("_form", "_limit", "_prefixes", "_writer")

    def __init__(self, fd: int, form: Form = logfmt_lines, *, for_journal: bool = False) -> None:
        """`for_journal`: the lines go to the journal, which is told how important each is."""
        self._writer = LineWriter(fd)
        self._form = form
        self._prefixes: Mapping[str, bytes] = _PREFIXES if for_journal else {}
        self._limit = MAX_LINE_OF_FILE if self._writer.is_file else MAX_LINE

    @property
    def fd(self) -> int:
        """Where the lines go."""
        return self._writer.fd

    @property
    def lost(self) -> int:
        """Lines lost since the last one that was written."""
        return self._writer.lost

    def tell(self, record: Record) -> None:
        """Write its lines, one by one."""
        prefix = self._prefixes.get(record.level, b"")
        for line in self._form(record, self._limit - len(prefix)):
            self._writer.write(prefix + line)


class JournalSink:
    """The journal; `plain`, which leads there too, while its socket is gone."""

    __slots__ = ("_journal", "_plain")

    def __init__(self, journal: JournalSocket, plain: LineSink) -> None:
        self._journal = journal
        self._plain = plain

    @property
    def fd(self) -> int:
        """Where plain lines go."""
        return self._plain.fd

    @property
    def lost(self) -> int:
        """Records that the journal did not take."""
        return self._journal.lost + self._plain.lost

    def tell(self, record: Record) -> None:
        """Send it."""
        if not record.event and not record.traceback.strip():
            return
        if not self._journal.send(journal_packet(record)):
            self._plain.tell(record)

    def close(self) -> None:
        """Give the socket back."""
        self._journal.close()


def open_sink(fd: int, name: str, environment: Mapping[str, str] = os.environ) -> Sink:
    """The sink for `[log] format = name` and a log that goes to `fd`."""
    leads_to_journal = is_journal(fd, environment)
    plain = LineSink(fd, json_lines if name == "json" else logfmt_lines, for_journal=leads_to_journal)
    return JournalSink(JournalSocket(), plain) if name == "auto" and leads_to_journal else plain


def sink_of(fd: int, name: str, config: object, environment: Mapping[str, str] = os.environ) -> Sink:
    """`open_sink`, or with a `[log] config` the standard library's logger, once that is configured in this process."""
    plain = open_sink(fd, name, environment)
    if not config:
        return plain
    # Only now: the application may never need it.
    from prefork.observe.handlers import LoggerSink

    return LoggerSink(plain)
