"""Numbers in shared memory that one process writes and any process reads.

Owns: how they are changed, so that threads of the process lose nothing of each other. Runs in: whoever has metrics. Must not
know: what they count, where in the memory they lie.

A cell is a double in eight aligned bytes, stored at once: a reader never sees half of one. There is nothing to hold while it is
changed that another process could wait for, so a process may be killed at any moment.
"""

from __future__ import annotations

import threading
from mmap import mmap
from typing import TYPE_CHECKING

from prefork.speedups import shared

CELL_BYTES = 8


class CellsInPython:
    """`count` cells from byte `at` on."""

    __slots__ = ("_cells", "_lock")

    def __init__(self, memory: mmap, at: int, count: int) -> None:
        if not 0 < count <= 1 << 20 or at < 0 or at % CELL_BYTES or at + count * CELL_BYTES > len(memory):
            raise ValueError("no such place in the memory")
        self._cells = memoryview(memory)[at : at + count * CELL_BYTES].cast("d")
        # Of this process and these cells. A compiled `add` needs none: the GIL is one.
        self._lock = threading.Lock()

    def add(self, index: int, amount: float, /) -> None:
        """Add to one cell."""
        with self._lock:
            self._cells[_index(index)] += amount

    def set(self, index: int, value: float, /) -> None:
        """Set one cell."""
        self._cells[_index(index)] = value

    def observe(self, index: int, value: float, /) -> None:
        """Add `value` to cell 0, which holds a sum, and 1 to another."""
        with self._lock:
            self._cells[_index(index)] += 1.0
            self._cells[0] += value

    def get(self, index: int, /) -> float:
        """What is in one cell."""
        return self._cells[_index(index)]


def _index(index: int) -> int:
    if index < 0:
        raise IndexError("no such cell")
    return index


if TYPE_CHECKING:
    Cells = CellsInPython
else:
    Cells = CellsInPython if shared is None else shared.Cells
