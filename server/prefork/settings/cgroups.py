"""The cgroups of this process, as files.

Owns: where they are (v2 and v1, in containers too). Runs in: master. Must not know: what is read from them.

Files: proc(5), cgroups(7), cgroup_namespaces(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

ROOT = Path("/")


class Group(msgspec.Struct, frozen=True):
    """A directory of a cgroup hierarchy."""

    path: Path
    is_v2: bool


def groups(controller: str, root: Path = ROOT) -> Iterator[Group]:
    """The group of this process that `controller` accounts it to, then the groups above it, as far as they are mounted.

    `root` is the file system's root.
    """
    mounts = list(_mounts(lines(root / "proc/self/mountinfo")))
    for line in lines(root / "proc/self/cgroup"):
        hierarchy, controllers, group = [*line.split(":", 2), "", ""][:3]
        is_v2 = hierarchy == "0" and not controllers
        if not is_v2 and controller not in controllers.split(","):
            continue
        for mount in mounts:
            if mount.is_v2 == is_v2 and (is_v2 or controller in mount.controllers):
                for directory in _ancestry(mount, PurePosixPath(group)):
                    yield Group(root / directory.relative_to("/"), is_v2)


def lines(path: Path) -> list[str]:
    """A file's lines; none if it cannot be read, as most of these files do not exist on most machines."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


class _Mount(msgspec.Struct, frozen=True):
    """One mounted cgroup hierarchy."""

    point: PurePosixPath
    root: PurePosixPath
    """Which of the hierarchy's groups is seen at `point`: not "/" in some containers."""
    is_v2: bool
    controllers: frozenset[str]
    """Of a v1 hierarchy."""


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


def _unescape(text: str) -> str:
    """Space, tab, line end and backslash are octal in mountinfo (proc(5))."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
