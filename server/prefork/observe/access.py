"""The access log of a worker: which requests get a line, and when lines are written.

Owns: the choice, the batch of one turn of the loop, and the word that lines were lost. Runs in: worker. Must not know: formats
(see `access_format`), connections, settings.

A call of write(2) costs as much as the rest of a line, so lines of one turn of the event loop go out together: at the end of the
turn, or at once where there are threads, whose requests end at any time. What a turn has answered but not written is lost with
a worker that is killed in the middle of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from prefork.observe.access_entry import AccessEntry, Format
from prefork.speedups import access

BATCH = 64
"""Lines that are held back at most."""

Wanted = Callable[[int, int], bool]
"""(status, duration in ns) -> whether the request gets a line."""


class Writer(Protocol):
    """Takes whole lines."""

    lost: int
    """Lines lost since the last one that was written."""

    def write_all(self, lines: list[bytes]) -> bool:
        """False: some were lost."""


class AccessLog:
    """A line for each request that is wanted. Never raises, never waits for long."""

    __slots__ = ("_clock_ns", "_format", "_held", "_holds", "_on_lost", "_wanted", "_writer", "tell")

    def __init__(
        self,
        writer: Writer,
        format_entry: Format,
        wanted: Wanted | None = None,
        *,
        short: object = None,
        holds: bool = False,
        on_lost: Callable[[int], None] = lambda _count: None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`short`: what writes most lines sooner than `format_entry` (`access_format.short_way`). `holds`: somebody calls `flush`
        at the end of each turn. `on_lost` is told how many lines were lost once the disk takes them again. `clock_ns` is Unix
        time."""
        self._writer = writer
        self._format = format_entry
        self._wanted = wanted
        self._held: list[bytes] = []
        self._holds = holds
        self._on_lost = on_lost
        self._clock_ns = clock_ns
        if holds:
            # A program that the application forks must not write them a second time.
            os.register_at_fork(after_in_child=self._held.clear)
        self.tell: Callable[..., None] = self.__call__
        """As a call; the shortest way there is."""
        # By the kernel's clock. Whatever is not simple, and the line that fills the batch, comes back to us.
        if access is not None and isinstance(short, access.ApacheLine) and holds and wanted is None:
            self.tell = access.Batch(short, self._held, BATCH, self.__call__).tell

    def __call__(
        self,
        environ: Mapping[str, Any],
        status: int,
        body_bytes: int,
        duration_ns: int,
        queued_ns: int = 0,
        bytes_in: int = 0,
    ) -> None:
        """The response is out."""
        wanted = self._wanted
        if wanted is not None and not wanted(status, duration_ns):
            return
        entry = AccessEntry(environ, status, body_bytes, duration_ns, self._clock_ns(), queued_ns, bytes_in)
        held = self._held
        if self._holds:
            held.append(self._format(entry))
            if len(held) >= BATCH:
                self.flush()
        else:
            self._write([self._format(entry)])

    def flush(self) -> None:
        """Write what was held back."""
        if self._held:
            lines = self._held.copy()
            self._held.clear()
            self._write(lines)

    def _write(self, lines: list[bytes]) -> None:
        writer = self._writer
        before = writer.lost
        if writer.write_all(lines) and before:
            self._on_lost(before)


def access_filter(words: Iterable[str], slow_ns: int) -> Wanted | None:
    """What `[log] access_filter` lets through; None: everything."""
    chosen = frozenset(words)
    if "all" in chosen:
        return None
    classes = frozenset(int(word[0]) for word in chosen if word != "slow")
    slow = "slow" in chosen

    def wanted(status: int, duration_ns: int) -> bool:
        return status // 100 in classes or (slow and duration_ns >= slow_ns)

    return wanted
