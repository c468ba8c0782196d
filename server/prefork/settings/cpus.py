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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class _Mount:
    """One mounted cgroup hierarchy."""

    point: PurePosixPath
    root: PurePosixPath
    """Which of the hierarchy's groups is seen at `point`: not "/" in some containers."""
    is_v2: bool
    controllers: frozenset[str]
    """Of a v1 hierarchy."""


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
    mounts = list(_mounts(_lines(root / "proc/self/mountinfo")))
    for line in _lines(root / "proc/self/cgroup"):
        hierarchy, controllers, group = [*line.split(":", 2), "", ""][:3]
        is_v2 = hierarchy == "0" and not controllers
        if not is_v2 and "cpu" not in controllers.split(","):
            continue
        for mount in mounts:
            if mount.is_v2 == is_v2 and (is_v2 or "cpu" in mount.controllers):
                for directory in _ancestry(mount, PurePosixPath(group)):
                    place = root / directory.relative_to("/")
                    quota = _v2_quota(place) if is_v2 else _v1_quota(place)
                    if quota is not None:
                        yield quota


def _mounts(lines: list[str]) -> Iterator[_Mount]:
    """The cgroup mounts among the lines of mountinfo: ID PARENT DEVICE ROOT POINT OPTIONS [TAGS] - TYPE SOURCE SUPER."""
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if separator and len(fields) >= 6 and len(kind) >= 3 and kind[0] in ("cgroup", "cgroup2"):
            yield _Mount(
                point=PurePosixPath(_unescape(fields[4])),
                root=PurePosixPath(_unescape(fields[3])),
                is_v2=kind[0] == "cgroup2",
                controllers=frozenset(kind[2].split(",")),
            )


def _ancestry(mount: _Mount, group: PurePosixPath) -> list[PurePosixPath]:
    """The directories of `group` and of the groups above it, as far as this mount shows them."""
    try:
        inside = group.relative_to(mount.root)
    except ValueError:
        # A container that shares its host's cgroup namespace: its own group is what is mounted.
        inside = PurePosixPath()
    if ".." in inside.parts:  # a group outside of this cgroup namespace (cgroup_namespaces(7))
        inside = PurePosixPath()
    directory = mount.point / inside
    return [directory, *(parent for parent in directory.parents if parent.is_relative_to(mount.point))]


def _v2_quota(directory: Path) -> float | None:
    """`cpu.max`: "MAX PERIOD" in microseconds, or "max PERIOD"."""
    return _ratio(" ".join(_lines(directory / "cpu.max")).split())


def _v1_quota(directory: Path) -> float | None:
    """`cpu.cfs_quota_us`: microseconds of each period, -1 for no limit."""
    return _ratio([*_lines(directory / "cpu.cfs_quota_us"), *_lines(directory / "cpu.cfs_period_us")])


def _ratio(numbers: list[str]) -> float | None:
    if len(numbers) != 2 or not all(re.fullmatch("[0-9]{1,18}", number) for number in numbers):
        return None
    quota, period = map(int, numbers)
    return quota / period if quota and period else None


def _lines(path: Path) -> list[str]:
    """A file's lines; none if it cannot be read, as most of these files do not exist on most machines."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _unescape(text: str) -> str:
    """Space, tab, line end and backslash are octal in mountinfo (proc(5))."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
