"""Whoever imports while others serve gets the processor when nobody else wants it.

Owns: which processes step back (the zygote of a reload, the trial of an upgrade, and workers until they accept if somebody serves
in their place meanwhile), and when they come back. Runs in: master. Must not know: generations, why a process was started.

An import takes a processor for whole slices of the scheduler, and a worker that is woken meanwhile waits for the end of one: 3 to
4 ms instead of 0.1. A process under SCHED_IDLE is set aside at once (sched(7)). Where there is no way back from that (see
`wayback`) nobody steps back, for workers would be born under it. Where others leave nothing, a process that steps back gets
nothing: one that is not getting on comes back, ready or not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from prefork.master.cpu import cpu_s
from prefork.master.wayback import way_back_from_here

LOOK_EVERY_S = 0.5

GETS_ON = 0.3
"""The share of a processor with which a process goes on stepping back. An import that waits for something else has less as well,
and is in nobody's way."""


_LOOKS = 5
"""How often one is looked for that was started meanwhile, by one that had not come back yet."""


class _Guest(msgspec.Struct):
    """One that has stepped back."""

    look_at: float
    cpu_s: float


class Courtesy:
    """One for the master; `turn` in each turn of its loop."""

    def __init__(
        self, clock: Callable[[], float], way_back: Callable[[bool], bool] = way_back_from_here
    ) -> None:
        self._clock = clock
        self._way_back = way_back
        self._guests: dict[int, _Guest] = {}

    @property
    def deadline(self) -> float | None:
        """When to call `turn` although nothing happens; None: never."""
        return min((guest.look_at for guest in self._guests.values()), default=None)

    def step_back(self, pid: int, *, same_user: bool) -> None:
        """This child of ours, and what it starts, waits until nobody else wants the processor."""
        if os.sched_getscheduler(0) != os.SCHED_OTHER or not self._way_back(same_user):
            return
        if pid not in self._guests:
            # It may be forbidden by a filter of system calls, say.
            with contextlib.suppress(OSError):
                os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
            self.adopt(pid)

    def adopt(self, pid: int) -> None:
        """It may have been started by one that has stepped back: then it has, too."""
        if os.sched_getscheduler(0) == os.SCHED_OTHER and _has_stepped_back(pid):
            self._guests[pid] = _Guest(self._clock() + LOOK_EVERY_S, _cpu_s(pid))

    def come_back(self, pid: int) -> None:
        """It is needed now, with all that it has started. Harmless for others.

        The kernel is asked, not remembered: after an upgrade the program that had it step back is gone.
        """
        self._guests.pop(pid, None)
        if os.sched_getscheduler(0) == os.SCHED_OTHER and _has_stepped_back(pid):
            # It first, so that what it starts from now on is as it should be. Who has come back has left nobody behind: no worker
            # but the first waits for this look at all of them.
            for each in _family(pid):
                _put_back(each)

    def turn(self) -> None:
        """Those who do not get on come back."""
        now = self._clock()
        for pid, guest in list(self._guests.items()):
            if now < guest.look_at:
                continue
            used_s = _cpu_s(pid)
            if used_s - guest.cpu_s < GETS_ON * (now - guest.look_at + LOOK_EVERY_S):
                self.come_back(pid)
            else:
                guest.look_at, guest.cpu_s = now + LOOK_EVERY_S, used_s

    def forget(self, pid: int) -> None:
        """It has ended: its number may be another's from now on."""
        self._guests.pop(pid, None)


def _family(pid: int) -> Iterator[int]:
    """It and its descendants, those that are there."""
    yield pid
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        # It has gone.
        return
    for children in lists:
        for child in children.split():
            yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    return sum(cpu_s(each) or 0.0 for each in _family(pid))


def _has_stepped_back(pid: int) -> bool:
    try:
        return os.sched_getscheduler(pid) == os.SCHED_IDLE
    except OSError:
        # It has gone.
        return False


def _put_back(pid: int) -> None:
    """With all its threads: each is scheduled by itself, and starts others like itself."""
    for _ in range(_LOOKS):
        tids = [tid for tid in _threads(pid) if _has_stepped_back(tid)]
        if not tids:
            return
        for tid in tids:
            # It may go in between.
            with contextlib.suppress(OSError):
                os.sched_setscheduler(tid, os.SCHED_OTHER, os.sched_param(0))


def _threads(pid: int) -> list[int]:
    try:
        return sorted(int(path.name) for path in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        # It has gone.
        return []
