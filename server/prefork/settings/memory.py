"""How much memory this server may use, and what a share of it is.

Owns: reading the limits of the cgroups (v2 and v1) and the size of the machine. Runs in: cli, master. Must not know: what is done
with a limit.

Files: cgroups(7); kernel documents admin-guide/cgroup-v2 (`memory.max`, `memory.high`) and cgroup-v1/memory
(`memory.limit_in_bytes`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from prefork.settings.cgroups import ROOT, groups, lines
from prefork.settings.kinds.memory import Share


class UsableMemory(msgspec.Struct, frozen=True):
    """Bytes, and who says so."""

    size: int
    source: str


def usable_memory(root: Path = ROOT, machine: int | None = None) -> UsableMemory:
    """The smallest of the machine's memory and the limit of the process's cgroup and of each of its ancestors.

    `memory.high` counts like `memory.max`: beyond it the kernel slows the processes down until they are of no use. `root` is the
    file system's root, `machine` the machine's bytes (default: as sysconf(3) says, which needs no /proc/meminfo).
    """
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if machine is None else machine
    found = [UsableMemory(size, "this machine"), *_limits(root)]
    return min(found, key=lambda each: each.size)


def limit_bytes(limit: int | Share, workers: int, usable: UsableMemory | None = None) -> int:
    """What one of `workers` may have of its own; 0: no limit. A share is for all of them together."""
    if not isinstance(limit, Share):
        return limit
    size = (usable or usable_memory()).size
    return max(1, int(size * limit.percent / 100 / workers))


def _limits(root: Path) -> Iterator[UsableMemory]:
    for group in groups("memory", root):
        names = ("memory.max", "memory.high") if group.is_v2 else ("memory.limit_in_bytes",)
        for name in names:
            text = " ".join(lines(group.path / name))
            # "max" is no limit; for version 1 that is a number beyond any machine.
            if re.fullmatch("[0-9]{1,19}", text) and int(text) > 0:
                yield UsableMemory(int(text), f"{group.path / name}")
