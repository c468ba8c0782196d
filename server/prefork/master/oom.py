"""How many processes the kernel's out-of-memory killer has ended here.

Owns: reading its counters. Runs in: master. Must not know: workers.

The kernel tells nobody who was killed: a victim looks like any other SIGKILL. But it counts, for each cgroup (memory.events of
v2, memory.oom_control of v1; kernel documents admin-guide/cgroup-v2 and cgroup-v1/memory) and for the machine (/proc/vmstat).
"""

from __future__ import annotations

from pathlib import Path

from prefork.settings.cgroups import ROOT, groups, lines


class OomCounter:
    """Counts from the moment it is made."""

    def __init__(self, root: Path = ROOT) -> None:
        self._path, self._where = _find(root)
        self._seen = self._read()

    def verdict(self) -> str:
        """Whether it was at work since the last call, for a log line; empty if nobody counts."""
        before, self._seen = self._seen, self._read()
        kills = self._seen - before
        if self._path is None:
            return ""
        if kills <= 0:
            return "not by the kernel's OOM killer"
        return f"the kernel's OOM killer counted {kills} {'kill' if kills == 1 else 'kills'} {self._where}"

    def _read(self) -> int:
        return 0 if self._path is None else _count(self._path) or 0


def _find(root: Path) -> tuple[Path | None, str]:
    """The nearest file that counts, and whose kills those are."""
    for group in groups("memory", root):
        path = group.path / ("memory.events" if group.is_v2 else "memory.oom_control")
        if _count(path) is not None:
            return path, "in this cgroup"
    path = root / "proc/vmstat"
    return (path, "on this machine") if _count(path) is not None else (None, "")


def _count(path: Path) -> int | None:
    for line in lines(path):
        name, _, number = line.partition(" ")
        if name == "oom_kill" and number.isdecimal():
            return int(number)
    return None
