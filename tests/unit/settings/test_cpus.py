"""Usable CPUs, on made-up file systems."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefork.settings.cpus import usable_cpus

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "34 25 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:12 - cgroup cgroup rw,memory"
DISK = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw"


def machine(root: Path, cgroup: str, mounts: list[str], files: dict[str, str]) -> Path:
    """A file system with these cgroups in it."""
    contents = {
        "proc/self/cgroup": cgroup + "\n",
        "proc/self/mountinfo": "".join(f"{line}\n" for line in [DISK, *mounts]),
        **{f"sys/fs/cgroup/{path}": f"{text}\n" for path, text in files.items()},
    }
    for path, text in contents.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("limits", "cpus"),
    [
        ({}, 8),
        ({"a/b/cpu.max": "max 100000"}, 8),
        ({"a/b/cpu.max": "200000 100000"}, 2),
        ({"a/b/cpu.max": "100000 100000"}, 1),
        ({"a/b/cpu.max": "150000 100000"}, 2),
        ({"a/b/cpu.max": "50000 100000"}, 1),
        ({"a/b/cpu.max": "1 1000000"}, 1),
        ({"a/b/cpu.max": "25000 10000"}, 3),
        ({"a/b/cpu.max": "1600000 100000"}, 8),
        ({"a/cpu.max": "300000 100000"}, 3),
        ({"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ({"a/cpu.max": "300000 100000", "a/b/cpu.max": "200000 100000"}, 2),
        ({"a/cpu.max": "200000 100000", "a/b/cpu.max": "300000 100000"}, 2),
        ({"cpu.max": "400000 100000"}, 4),
        ({"other/cpu.max": "100000 100000"}, 8),
        ({"a/b/c/cpu.max": "100000 100000"}, 8),
        ({"a/b/cpu.max": "garbage"}, 8),
        ({"a/b/cpu.max": ""}, 8),
        ({"a/b/cpu.max": "100000 0"}, 8),
        ({"a/b/cpu.max": "100000"}, 8),
        ({"a/b/cpu.max": "-1 100000"}, 8),
    ],
)
def test_the_smallest_quota_of_the_group_and_those_above_it(
    tmp_path: Path, limits: dict[str, str], cpus: int
) -> None:
    assert usable_cpus(machine(tmp_path, "0::/a/b", [V2], limits), affinity=8) == cpus


def v1(path: str, quota: int | str, period: int | str) -> dict[str, str]:
    return {f"{path}/cpu.cfs_quota_us": str(quota), f"{path}/cpu.cfs_period_us": str(period)}


V1_GROUPS = "12:memory:/m\n4:cpu,cpuacct:/a/b\n1:name=systemd:/x\n0::/"


@pytest.mark.parametrize(
    ("limits", "cpus"),
    [
        ({}, 8),
        (v1("cpu,cpuacct/a/b", -1, 100000), 8),
        (v1("cpu,cpuacct/a/b", 200000, 100000), 2),
        (v1("cpu,cpuacct/a/b", 150000, 100000), 2),
        ({**v1("cpu,cpuacct/a/b", 300000, 100000), **v1("cpu,cpuacct/a", 200000, 100000)}, 2),
        ({**v1("cpu,cpuacct/a/b", -1, 100000), **v1("cpu,cpuacct", 300000, 100000)}, 3),
        (v1("memory/m", 100000, 100000), 8),
        ({"cpu,cpuacct/a/b/cpu.cfs_quota_us": "100000"}, 8),
    ],
)
def test_groups_of_version_1(tmp_path: Path, limits: dict[str, str], cpus: int) -> None:
    assert usable_cpus(machine(tmp_path, V1_GROUPS, [V1, V1_MEMORY], limits), affinity=8) == cpus


def test_groups_of_both_versions(tmp_path: Path) -> None:
    unified = "42 32 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup rw"
    limits = {**v1("cpu,cpuacct/a/b", 300000, 100000), "unified/cpu.max": "500000 100000"}
    assert usable_cpus(machine(tmp_path, V1_GROUPS, [V1, unified], limits), affinity=8) == 3


def test_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    """With a cgroup namespace the group is "/", and its files are at the mount."""
    assert usable_cpus(machine(tmp_path, "0::/", [V2], {"cpu.max": "200000 100000"}), affinity=8) == 2


def test_a_container_in_the_namespace_of_its_host(tmp_path: Path) -> None:
    """Then the group's name is the host's, and the mount shows that group as its root."""
    mount = V1.replace(" / /sys", " /docker/c0ffee /sys")
    limits = v1("cpu,cpuacct", 200000, 100000)
    assert usable_cpus(machine(tmp_path, "4:cpu,cpuacct:/docker/c0ffee", [mount], limits), affinity=8) == 2


def test_a_group_below_the_one_that_is_mounted(tmp_path: Path) -> None:
    mount = V1.replace(" / /sys", " /docker/c0ffee /sys")
    limits = {**v1("cpu,cpuacct", 400000, 100000), **v1("cpu,cpuacct/web", 200000, 100000)}
    assert (
        usable_cpus(machine(tmp_path, "4:cpu,cpuacct:/docker/c0ffee/web", [mount], limits), affinity=8) == 2
    )


@pytest.mark.parametrize("group", ["/../other", "/elsewhere"])
def test_a_group_that_cannot_be_seen(tmp_path: Path, group: str) -> None:
    mount = V2.replace(" / /sys", " /docker /sys") if group == "/elsewhere" else V2
    assert (
        usable_cpus(machine(tmp_path, f"0::{group}", [mount], {"cpu.max": "200000 100000"}), affinity=8) == 2
    )


def test_a_mount_point_with_spaces(tmp_path: Path) -> None:
    mount = r"30 23 0:26 / /sys/fs/cgroup/a\040b rw - cgroup2 cgroup2 rw"
    assert usable_cpus(machine(tmp_path, "0::/", [mount], {"a b/cpu.max": "200000 100000"}), affinity=8) == 2


def test_a_group_with_a_colon_in_its_name(tmp_path: Path) -> None:
    assert usable_cpus(machine(tmp_path, "0::/a:b", [V2], {"a:b/cpu.max": "200000 100000"}), affinity=8) == 2


@pytest.mark.parametrize(("affinity", "cpus"), [(1, 1), (2, 2), (3, 3), (64, 3)])
def test_the_affinity_counts_too(tmp_path: Path, affinity: int, cpus: int) -> None:
    assert (
        usable_cpus(machine(tmp_path, "0::/", [V2], {"cpu.max": "300000 100000"}), affinity=affinity) == cpus
    )


@pytest.mark.parametrize("text", ["", "\n", "0", "0:", "garbage", "4:cpu,cpuacct"])
def test_a_group_file_nobody_understands(tmp_path: Path, text: str) -> None:
    assert usable_cpus(machine(tmp_path, text, [V2, V1], {}), affinity=4) == 4


@pytest.mark.parametrize("line", ["", "garbage", "1 2 3 - cgroup2", "1 2 3:4 / /x rw - ", " - cgroup2 a b"])
def test_a_mount_nobody_understands(tmp_path: Path, line: str) -> None:
    assert usable_cpus(machine(tmp_path, "0::/", [line], {"cpu.max": "100000 100000"}), affinity=4) == 4


def test_a_machine_without_proc(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path, affinity=4) == 4


def test_at_least_one(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path, affinity=0) == 1


def test_this_machine() -> None:
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))
