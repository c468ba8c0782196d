"""How many CPUs this server may use.

Owns: reading the CPU affinity and the cgroup quotas (v2 and v1). Runs in: master. Must not know: what the number is
used for.

Files: proc(5), cgroups(7); kernel documents admin-guide/cgroup-v2 (`cpu.max`) and scheduler/sched-bwc
(`cpu.cfs_quota_us`).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from prefork.settings.cgroups import ROOT, groups, lines


def usable_cpus(root: Path = ROOT, affinity: int | None = None) -> int:
    """The number of CPUs that this process may keep busy, at least 1.

    The smallest of the CPU affinity and the quota of the process's cgroup and of each of its ancestors. A quota of
    one and a half CPUs counts as two: the half would else never be used.

    `root` is the file system's root, `affinity` the number of CPUs this process may run on (default: as
    sched_getaffinity(2) says).
    """
    allowed = len(os.sched_getaffinity(0)) if affinity is None else affinity
    quotas = [math.ceil(quota) for quota in _quotas(root)]
    return max(1, min([allowed, *quotas]))


def _quotas(root: Path) -> Iterator[float]:
    """CPUs that each limited group above this process may use."""
    for group in groups("cpu", root):
        quota = _v2_quota(group.path) if group.is_v2 else _v1_quota(group.path)
        if quota is not None:
            yield quota


def _v2_quota(directory: Path) -> float | None:
    """`cpu.max`: "MAX PERIOD" in microseconds, or "max PERIOD"."""
    return _ratio(" ".join(lines(directory / "cpu.max")).split())


def _v1_quota(directory: Path) -> float | None:
    """`cpu.cfs_quota_us`: microseconds of each period, -1 for no limit."""
    return _ratio([*lines(directory / "cpu.cfs_quota_us"), *lines(directory / "cpu.cfs_period_us")])


def _ratio(numbers: list[str]) -> float | None:
    if len(numbers) != 2 or not all(re.fullmatch("[0-9]{1,18}", number) for number in numbers):
        return None
    quota, period = map(int, numbers)
    return quota / period if quota and period else None
