"""The counters of the kernel's OOM killer, as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork.master import events
from prefork.master.oom import OomCounter
from prefork.master.processes import Exit
from unit.master.simulation import Simulation

V2_MOUNT = "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"
V1_MOUNT = "31 24 0:27 / /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory\n"


def machine(root: Path, mountinfo: str, cgroup: str, counters: dict[str, str]) -> None:
    files = {"proc/self/mountinfo": mountinfo, "proc/self/cgroup": cgroup, **counters}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("mountinfo", "cgroup", "file", "text", "where"),
    [
        (
            V2_MOUNT,
            "0::/shop.service\n",
            "sys/fs/cgroup/shop.service/memory.events",
            "low 0\nhigh 0\nmax 7\noom 3\noom_kill {}\noom_group_kill 0\n",
            "in this cgroup",
        ),
        (
            V1_MOUNT,
            "4:memory:/shop\n",
            "sys/fs/cgroup/memory/shop/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n",
            "in this cgroup",
        ),
        ("", "", "proc/vmstat", "nr_free_pages 5\noom_kill {}\n", "on this machine"),
    ],
)
def test_kills_are_counted_from_the_start(
    tmp_path: Path, mountinfo: str, cgroup: str, file: str, text: str, where: str
) -> None:
    machine(tmp_path, mountinfo, cgroup, {file: text.format(4)})
    counter = OomCounter(tmp_path)
    assert counter.verdict() == "not by the kernel's OOM killer"
    (tmp_path / file).write_text(text.format(5))
    assert counter.verdict() == f"the kernel's OOM killer counted 1 kill {where}"
    (tmp_path / file).write_text(text.format(7))
    assert counter.verdict() == f"the kernel's OOM killer counted 2 kills {where}"
    assert counter.verdict() == "not by the kernel's OOM killer"


def test_a_machine_that_counts_nothing(tmp_path: Path) -> None:
    assert OomCounter(tmp_path).verdict() == ""


def test_what_is_said_about_a_death_by_sigkill() -> None:
    sim = Simulation(count=1).boot()
    pid = next(p.pid for p in sim.processes.values() if p.worker is not None)
    del sim.processes[pid]
    died = events.ProcessEnded(
        Exit(pid, signal=9, peak_memory=300 << 20), oom="counted 1", request="GET /big"
    )
    sim.happens(died)
    fields = sim.said("worker_exited")[-1].fields
    assert fields["cause"] == "killed from outside; counted 1"
    assert fields["peak_memory"] == "300MiB"
    assert fields["request"] == "GET /big"


def test_the_same_stacks_are_told_once() -> None:
    sim = Simulation(count=1).boot()
    for stacks in ("a", "a", "b"):
        sim.advance(60)
        sim.settle()
        pid = next(p.pid for p in sim.processes.values() if p.worker is not None)
        del sim.processes[pid]
        sim.happens(events.ProcessEnded(Exit(pid, signal=11), stacks))
    assert [note.traceback for note in sim.said("worker_exited")] == ["a", "", "b"]
