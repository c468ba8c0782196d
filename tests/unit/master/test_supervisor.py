"""A fault of the master's own must not take the site down; a master that cannot work at all must not spin."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from prefork.master import supervisor
from prefork.master.events import PauseAsked, StopAsked
from prefork.master.journal import Journal
from prefork.master.state import Pool
from prefork.observe.log import Log


class FakeLinks:
    """Fails as often as it is told to, then lets the pool stop."""

    def __init__(self, faults: int) -> None:
        self.faults = faults

    def wait(self, timeout_s: float | None) -> None:
        if self.faults:
            self.faults -= 1
            raise OSError("out of everything")

    def watch(self, other: object) -> None:
        pass

    def receive(self, log: Journal) -> list[Any]:
        return [StopAsked(fast=False, by="test")]


class Time:
    """Passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def sleep(self, duration_s: float) -> None:
        self.now += duration_s
        self.naps.append(duration_s)


def run(
    faults: int, time: Time, signals: Sequence[signal.Signals] = (), somebody_stays: bool = False
) -> tuple[int, str]:
    """Exit code and log of a master that fails so often; `signals` come with its first turn."""
    fd = os.memfd_create("log")
    pool = Pool()
    pending = list(signals)
    inbox = SimpleNamespace(take=lambda: [pending.pop() for _ in list(pending)])
    processes = SimpleNamespace(reap=lambda learn: [])
    processes.kill = lambda pid, number: None
    generations = SimpleNamespace(log=Journal(Log(fd, "info")))
    links: Any = FakeLinks(faults)
    stack_taking = SimpleNamespace(deadline=None, turn=list)
    overseer: Any = SimpleNamespace(next_look=None, look=list, stack_taking=stack_taking)
    control = SimpleNamespace(deadline=None, take=list)
    parts: Any = (
        processes,
        inbox,
        links,
        generations,
        overseer,
        control,
        SimpleNamespace(),
        SimpleNamespace(),
    )
    status_keeper = SimpleNamespace(
        deadline=None, turn=lambda ending: None, finished=not somebody_stays, ended=lambda exit: False
    )
    service = SimpleNamespace(deadline=None, turn=list)
    statsd = SimpleNamespace(deadline=None, turn=list)
    queue_watch = SimpleNamespace(deadline=None, turn=list)
    parts += (status_keeper, service, statsd, queue_watch)
    loop = supervisor.Supervisor(pool, *parts, clock=lambda: time.now, sleep=time.sleep)
    try:
        return loop.run(PauseAsked()), os.pread(fd, 10_000_000, 0).decode()
    finally:
        os.close(fd)


def test_a_turn_that_fails_is_logged_and_the_next_one_goes_on() -> None:
    time = Time()
    code, log = run(15, time)
    assert code == 0
    assert log.count("event=internal_error") == 15
    assert "out of everything" in log
    # Soon at first, then not more than once a second.
    assert time.naps[:3] == [0.01, 0.02, 0.04]
    assert time.naps[-1] == 1.0


def test_what_passes_within_a_minute_ends_nobody() -> None:
    time = Time()
    assert run(60, time)[0] == 0
    assert time.now < 1000.0 + supervisor.MAX_FAULTS_S


def test_a_master_that_only_fails_ends() -> None:
    time = Time()
    with pytest.raises(OSError, match="out of everything"):
        run(1000, time)
    assert 0 < time.now - 1000.0 - supervisor.MAX_FAULTS_S <= 1.0


def test_a_master_that_only_fails_can_be_stopped() -> None:
    time = Time()
    with pytest.raises(OSError, match="out of everything"):
        run(1000, time, [signal.SIGTERM], somebody_stays=True)
    assert len(time.naps) == supervisor.MAX_FAULTS_OF_STOP
