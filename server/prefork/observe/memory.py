"""The memory of a process: its own, and what it shares.

Owns: the measurement, from /proc/PID/smaps_rollup where the kernel has it (psutil). It costs the kernel a walk over the page
tables, about 5 us for each MiB. Runs in: cli. Must not know: workers.
"""

from __future__ import annotations

import msgspec
import psutil


class Memory(msgspec.Struct, frozen=True):
    """Bytes. `private` and `shared` are None where we may not look (another user's process)."""

    rss: int
    """All pages that are in memory."""
    private: int | None
    """Pages that nobody else has: what its end would give back (USS)."""
    shared: int | None
    """The rest: pages in common with the zygote, its other workers, or through files."""


def measure(pid: int) -> Memory | None:
    """None if there is no such process."""
    try:
        process = psutil.Process(pid)
        try:
            full = process.memory_full_info()
        except psutil.AccessDenied:
            return Memory(int(process.memory_info().rss), None, None)
    except psutil.Error:
        return None
    return Memory(int(full.rss), int(full.uss), max(0, int(full.rss) - int(full.uss)))
