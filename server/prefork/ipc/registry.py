"""Where the metrics of this process are counted.

Owns: the region of this process, and moving to another: after a fork, and when prefork gives it a place that others read. Runs
in: zygote, worker, and any process that uses `prefork.metrics` without prefork. Must not know: what is counted.

Until it is given a place, a process counts in memory of its own, which nobody else sees. That is also where it goes after a
fork: two processes that wrote to one region would lose each other's counts. Gauges keep their value on the way, for what was set
during the import is true in each worker; counters begin anew, for the process before goes on to have counted what it has.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from mmap import mmap

from prefork.ipc.appmetrics import Family, read, read_own
from prefork.ipc.cells import CELL_BYTES, Cells
from prefork.ipc.metricregion import REGION_BYTES, Definition, Region
from prefork.ipc.metricstore import HEAD, file_head


class SeriesHere:
    """One series in this process; `cells` is None until it is used, and again after a move."""

    __slots__ = ("__weakref__", "cells", "definition", "labels")

    def __init__(self, definition: Definition, labels: tuple[str, ...]) -> None:
        self.definition = definition
        self.labels = labels
        self.cells: Cells | None = None

    def bind(self) -> Cells:
        """Its cells, found or made."""
        cells = self.cells
        return registry.bind(self) if cells is None else cells


class Registry:
    """One for the process."""

    def __init__(self) -> None:
        self._region: Region | None = None
        self._memory: mmap | None = None
        self._fd: int | None = None
        self._series: list[SeriesHere] = []
        # Taken for the first use of a series, not for counting. Reentrant: a handler of a signal may use one for the first time.
        self._lock = threading.RLock()
        self.full = False
        """A series has found no room; another, smaller one still may."""
        # Kept by nobody but who uses them, for their number has no bound.
        self._refused: weakref.WeakSet[SeriesHere] = weakref.WeakSet()
        self._scratch: dict[int, Cells] = {}
        self.on_full: Callable[[str], None] = lambda _name: None
        """Called with the name of the first metric for which there is no room."""

    def bind(self, series: SeriesHere) -> Cells:
        """The cells of a series in the region of this process; when that is full, some that nobody reads."""
        with self._lock:
            if series.cells is not None:
                return series.cells
            if self._region is None:
                self._memory = mmap(-1, REGION_BYTES)
                self._region = Region(self._memory)
            cells = self._region.add(series.definition, series.labels)
            if cells is None:
                self._tell_full(series.definition.name)
                cells = self._nowhere(series.definition.cells)
                self._refused.add(series)
            else:
                self._series.append(series)
            series.cells = cells
        return cells

    def _nowhere(self, count: int) -> Cells:
        """One place for all that have none."""
        cells = self._scratch.get(count)
        if cells is None:
            cells = self._scratch[count] = Cells(mmap(-1, count * CELL_BYTES), 0, count)
        return cells

    def families(self) -> list[Family]:
        """What all processes of the server have counted; in one that has no place among them, what it has. Raises OSError."""
        if self._fd is not None:
            return read(self._fd)
        return [] if self._memory is None else read_own(self._memory)

    def attach(self, fd: int, at: int) -> None:
        """From now on this process counts there, if the other side lays the memory out as we do."""
        if at < 0 or os.pread(fd, HEAD.size, 0) != file_head():
            self.detach()
        else:
            self._move(Region(mmap(fd, REGION_BYTES, offset=at)))
            self._fd = fd

    def detach(self) -> None:
        """From now on it counts for itself."""
        self._move(None)

    def after_fork(self) -> None:
        """In a child: nothing of the parent's is written to any more."""
        self._lock = threading.RLock()  # another thread may have had it, which is not here
        self.detach()

    def _move(self, region: Region | None) -> None:
        with self._lock:
            moved, self._series = self._series, []
            self._region, self._memory, self._fd = region, None, None
            self.full = False
            for refused in self._refused:
                refused.cells = None
            self._refused.clear()
            gauges: list[tuple[SeriesHere, float, float]] = []
            for series in moved:
                if series.definition.kind == "gauge" and series.cells is not None:
                    gauges.append((series, series.cells.get(0), series.cells.get(1)))
                series.cells = None
            for series, value, set_at in gauges:
                cells = self.bind(series)
                cells.set(0, value)
                cells.set(1, set_at)

    def _tell_full(self, name: str) -> None:
        if not self.full:
            self.full = True
            self.on_full(name)


registry = Registry()
os.register_at_fork(after_in_child=registry.after_fork)
