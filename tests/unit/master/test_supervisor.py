"""The loop itself: its own faults must not take the site down, and nobody is late for a time in which nobody ran."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from prefork.master import supervisor
from prefork.master.events import PauseAsked, StopAsked
from prefork.master.journal import Journal
from prefork.master.state import Pool
from prefork.observe.log import Log

START = 1000.0


class Loop:
    """The master's loop with parts that do nothing. Time passes while it waits, and when a test says so."""

    def __init__(self, log_fd: int) -> None:
        self.log_fd = log_fd
        self.now = START
        self.naps: list[float] = []
        self.faults = 0
        """So many waits fail before the first that hears of the stop."""
        self.signals: Sequence[signal.Signals] = ()
        """Come with the first turn."""
        self.due: float | None = None
        """When something is due."""
        self.wait_s = 0.0
        """How much longer than it should the wait takes."""
        self.turn_s = 0.0
        """How long a turn takes beside its wait."""
        self.stand_stills: list[tuple[float, float]] = []

    @property
    def log(self) -> str:
        return os.pread(self.log_fd, 10_000_000, 0).decode()

    def run(self, *, somebody_stays: bool = False) -> int:
        """Exit code."""
        idle: Any = SimpleNamespace(deadline=None, turn=list)
        overseer: Any = SimpleNamespace(next_look=None, look=lambda now: [], stood_still=self._stood_still)
        overseer.stack_taking = idle
        keeper: Any = SimpleNamespace(deadline=None, turn=lambda ending: None, ended=lambda exit: False)
        keeper.finished = not somebody_stays
        parts: Any = (
            SimpleNamespace(reap=lambda learn: [], kill=lambda pid, number: None),
            SimpleNamespace(take=self._take),
            SimpleNamespace(wait=self._wait, watch=lambda other: None, receive=self._receive),
            SimpleNamespace(log=Journal(Log(self.log_fd, "info"))),
            overseer,
            SimpleNamespace(deadline=None, take=list),
            SimpleNamespace(),
            SimpleNamespace(),
            keeper,
            SimpleNamespace(deadline=self.due, turn=list),
            SimpleNamespace(deadline=None, turn=self._pass_turn),
            idle,
        )
        loop = supervisor.Supervisor(Pool(), *parts, clock=lambda: self.now, sleep=self._sleep)
        return loop.run(PauseAsked())

    def _take(self) -> Sequence[signal.Signals]:
        taken, self.signals = self.signals, ()
        return taken

    def _wait(self, timeout_s: float | None) -> None:
        if self.faults:
            self.faults -= 1
            raise OSError("out of everything")
        self.now += max(timeout_s or 0.0, 0.0) + self.wait_s

    def _receive(self, log: Journal) -> list[Any]:
        return [StopAsked(fast=False, by="test")]

    def _pass_turn(self) -> None:
        self.now += self.turn_s

    def _stood_still(self, since: float, until: float) -> None:
        self.stand_stills.append((since, until))

    def _sleep(self, duration_s: float) -> None:
        self.now += duration_s
        self.naps.append(duration_s)


@pytest.fixture
def loop() -> Iterator[Loop]:
    fd = os.memfd_create("log")
    yield Loop(fd)
    os.close(fd)


# Faults of its own --------------------------------------------------------------------------------------------------------


def test_a_turn_that_fails_is_logged_and_the_next_one_goes_on(loop: Loop) -> None:
    loop.faults = 15
    assert loop.run() == 0
    assert loop.log.count("event=internal_error") == 15
    assert "out of everything" in loop.log
    # Soon at first, then not more than once a second.
    assert loop.naps[:3] == [0.01, 0.02, 0.04]
    assert loop.naps[-1] == 1.0


def test_what_passes_within_a_minute_ends_nobody(loop: Loop) -> None:
    loop.faults = 60
    assert loop.run() == 0
    assert loop.now < START + supervisor.MAX_FAULTS_S


def test_a_master_that_only_fails_ends(loop: Loop) -> None:
    loop.faults = 1000
    with pytest.raises(OSError, match="out of everything"):
        loop.run()
    assert 0 < loop.now - START - supervisor.MAX_FAULTS_S <= 1.0


def test_a_master_that_only_fails_can_be_stopped(loop: Loop) -> None:
    loop.faults = 1000
    loop.signals = [signal.SIGTERM]
    with pytest.raises(OSError, match="out of everything"):
        loop.run(somebody_stays=True)
    # Heard after the first one that failed.
    assert len(loop.naps) == supervisor.MAX_FAULTS_OF_STOP


# Stand-stills -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait_s", [0.0, supervisor.JUMP_S])
def test_a_wait_that_ends_a_little_late_is_none(loop: Loop, wait_s: float) -> None:
    loop.due, loop.wait_s = START + 3.0, wait_s
    assert loop.run() == 0
    assert loop.stand_stills == []
    assert "clock_jumped" not in loop.log


def test_a_wait_that_ends_much_too_late_is_one(loop: Loop) -> None:
    loop.due, loop.wait_s = START + 3.0, 20.0
    assert loop.run() == 0
    # It may have begun at any time of the wait.
    assert loop.stand_stills == [(START, START + 23.0)]
    assert "event=clock_jumped by_s=20.0" in loop.log


def test_a_turn_that_takes_so_long_is_one(loop: Loop) -> None:
    loop.turn_s = 20.0
    assert loop.run() == 0
    assert loop.stand_stills == [(START, START + 20.0)]


def test_what_was_due_long_ago_is_none(loop: Loop) -> None:
    loop.due = START - 100.0
    assert loop.run() == 0
    assert loop.stand_stills == []
