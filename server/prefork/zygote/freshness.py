"""Whether an interpreter that has waited for long is what a new one would be.

Owns: which files an interpreter has read until it begins to wait, and what tells that they have changed. Runs in: zygote.
Must not know: what it waits for, what is done about it.

A deployment may have changed anything meanwhile: packages, the standard library, Python itself, the C libraries. Whatever is in
doubt counts as changed; all that is lost by that is time.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_CLOCK_S = 1.0
"""By so much the clock of a file system may be behind."""

_Seen = tuple[int, int, int, int, int] | None
"""Device, inode, size, mtime and ctime; None: it is not there."""


class Freshness:
    """What is there when it is made. In a process that does nothing but import, and has not begun to serve anybody."""

    def __init__(self) -> None:
        began_ns = int((time.time() - _age_s() - _CLOCK_S) * 1e9)
        self._seen = {path: _look(path) for path in sorted(set(_paths()))}
        # Else it may have been read before it changed.
        self._in_time = all(seen is None or seen[4] < began_ns for seen in self._seen.values())

    def is_lost(self) -> bool:
        """Whether a new interpreter would read something else."""
        return not self._in_time or any(_look(path) != seen for path, seen in self._seen.items())


def _paths() -> Iterator[str]:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str):
            yield file
    yield sys.executable
    yield str(Path(sys.prefix) / "pyvenv.cfg")
    for directory in filter(None, sys.path):
        # What is installed, updated or removed changes the directory; what a .pth file says changes that file.
        yield directory
        if os.path.isdir(directory):  # noqa: PTH112 - a text
            yield from map(str, Path(directory).glob("*.pth"))
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[5:]
            # With " (deleted)" behind it, if there is another in its place: that is not there.
            if path and path[0].startswith("/") and not path[0].startswith(("/memfd:", "/dev/", "/SYSV")):
                yield path[0].rstrip("\n")


def _look(path: str) -> _Seen:
    try:
        found = os.stat(path)  # noqa: PTH116 - two hundred of them
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _age_s() -> float:
    """How long ago this process was started (proc(5), starttime)."""
    with open("/proc/self/stat") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
