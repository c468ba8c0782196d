"""Who steps back while others serve, and how they come back; on real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from prefork.master import courtesy
from prefork.master.courtesy import Courtesy
from prefork.master.wayback import has_way_back, way_back_from_here
from support.deadline import eventually

ROOT_MAP = "         0          0 4294967295\n"
MAY = "Name:\tx\nCapEff:\t000001ffffffffff\n"
MAY_NOT = "Name:\tx\nCapEff:\t00000000a80425fb\n"


@pytest.mark.parametrize(
    ("status", "uid_map", "nice_limit", "niceness", "same_user", "has"),
    [
        (MAY, ROOT_MAP, 0, 0, False, True),
        # A capability of a user namespace is none for the kernel.
        (MAY, "0 100000 65536\n", 0, 0, True, False),
        # root in a container without CAP_SYS_NICE.
        (MAY_NOT, ROOT_MAP, 0, 0, True, False),
        (MAY_NOT, ROOT_MAP, 20, 0, True, True),
        (MAY_NOT, ROOT_MAP, 19, 0, True, False),
        (MAY_NOT, ROOT_MAP, 15, 5, True, True),
        (MAY_NOT, ROOT_MAP, 20, 0, False, False),
        (MAY_NOT, ROOT_MAP, -1, 0, True, True),
        ("", "", 0, 0, True, False),
    ],
)
def test_there_is_a_way_back_with_the_capability_or_a_limit_of_the_same_user(
    status: str, uid_map: str, nice_limit: int, niceness: int, same_user: bool, has: bool
) -> None:
    assert has_way_back(status, uid_map, nice_limit, niceness, same_user=same_user) is has


def test_what_is_said_of_the_way_back_is_what_the_kernel_does() -> None:
    """In a process of its own: there may be none."""
    code = (
        "import os; from prefork.master.wayback import way_back_from_here as w; says = w(True)\n"
        "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
        "try: os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)); does = True\n"
        "except PermissionError: does = False\n"
        "print(says, does)"
    )
    said, does = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert said == does


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Starts one of its own, and both wait."""
    code = "import subprocess, sys; subprocess.run(['sleep', '600'])"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            eventually(lambda: len(list(courtesy._family(process.pid))) == 2, "its child")
            yield process
        finally:
            for pid in reversed(list(courtesy._family(process.pid))):
                os.kill(pid, 9)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def policies(process: subprocess.Popen[bytes]) -> list[int]:
    return [os.sched_getscheduler(pid) for pid in courtesy._family(process.pid)]


def stepped_back(process: subprocess.Popen[bytes], clock: Clock) -> Courtesy:
    """The child stepped back before it had a child: that one too."""
    one = Courtesy(clock, lambda _same_user: True)
    for pid in courtesy._family(process.pid):
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    one.step_back(process.pid, same_user=True)
    assert policies(process) == [os.SCHED_IDLE] * 2
    return one


needs_way = pytest.mark.skipif(not way_back_from_here(True), reason="no CAP_SYS_NICE, no RLIMIT_NICE")


def test_nobody_steps_back_without_a_way_back(child: subprocess.Popen[bytes]) -> None:
    one = Courtesy(Clock(), lambda _same_user: False)
    one.step_back(child.pid, same_user=True)
    assert policies(child) == [os.SCHED_OTHER] * 2
    assert one.deadline is None


@needs_way
def test_all_threads_come_back() -> None:
    code = (
        "import threading, time\n"
        "for _ in range(3): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            tids = courtesy._threads(process.pid)
            assert len(tids) == 4
            for tid in tids:
                os.sched_setscheduler(tid, os.SCHED_IDLE, os.sched_param(0))
            one = Courtesy(Clock(), lambda _same_user: True)
            one.adopt(process.pid)
            assert one.deadline is not None
            one.come_back(process.pid)
            assert {os.sched_getscheduler(tid) for tid in tids} == {os.SCHED_OTHER}
            assert one.deadline is None
            one.adopt(process.pid)
            assert one.deadline is None
        finally:
            process.kill()


@needs_way
def test_who_is_needed_comes_back_with_what_it_has_started(child: subprocess.Popen[bytes]) -> None:
    one = stepped_back(child, Clock())
    one.come_back(child.pid)
    assert policies(child) == [os.SCHED_OTHER] * 2
    assert one.deadline is None


def test_nobody_is_looked_for_where_nobody_has_stepped_back(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker that is asked for comes by here."""

    def look(_pid: int) -> Iterator[int]:
        raise AssertionError("it looks through /proc")

    with monkeypatch.context() as patched:
        patched.setattr(courtesy, "_family", look)
        Courtesy(Clock()).come_back(child.pid)


@needs_way
def test_another_program_brings_back_who_stepped_back_before_it(child: subprocess.Popen[bytes]) -> None:
    stepped_back(child, Clock())
    Courtesy(Clock()).come_back(child.pid)
    assert policies(child) == [os.SCHED_OTHER] * 2


@needs_way
def test_who_does_not_get_on_comes_back(child: subprocess.Popen[bytes]) -> None:
    clock = Clock()
    one = stepped_back(child, clock)
    assert one.deadline == clock.now + courtesy.LOOK_EVERY_S
    one.turn()
    assert policies(child) == [os.SCHED_IDLE] * 2
    clock.now += courtesy.LOOK_EVERY_S
    one.turn()
    assert policies(child) == [os.SCHED_OTHER] * 2


@needs_way
def test_who_gets_on_goes_on_stepping_back(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    one = stepped_back(child, clock)
    monkeypatch.setattr(courtesy, "_cpu_s", lambda _pid: 1e9)
    clock.now += courtesy.LOOK_EVERY_S
    one.turn()
    assert policies(child) == [os.SCHED_IDLE] * 2
    assert one.deadline == clock.now + courtesy.LOOK_EVERY_S


@needs_way
def test_who_has_ended_is_not_looked_at(child: subprocess.Popen[bytes]) -> None:
    one = stepped_back(child, Clock())
    one.forget(child.pid)
    assert one.deadline is None


def test_who_has_gone_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    one = Courtesy(Clock(), lambda _same_user: True)
    one.step_back(process.pid, same_user=True)
    one.come_back(process.pid)
    assert one.deadline is None
