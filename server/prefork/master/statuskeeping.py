"""Keeping one status process alive: when one is started, told to leave, killed.

Owns: those decisions, and back-off. Pure. Runs in: master. Must not know: how a process is started or told anything (see
`statuskeeper`), what it serves.

There is at most one that serves, and those that leave. One that is to serve something else is replaced, not changed: what comes
in between waits in the queue of its address.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import msgspec

from prefork.master.deaths import slot_delay_s
from prefork.master.state import STABLE_AFTER_S

BOOT_TIMEOUT_S = 60.0
LEAVE_TIMEOUT_S = 2.0
"""A fast stop takes a second at most."""


class Phase(Enum):
    """Of one process."""

    BOOTING = "booting"
    SERVING = "serving"
    LEAVING = "leaving"
    KILLED = "killed"


class Incarnation(msgspec.Struct):
    """One process, from its start until it is collected."""

    what: object
    """What it serves."""
    phase: Phase
    deadline: float
    """Of its phase; of one that serves: since then it does."""


class Keeping(msgspec.Struct):
    """All that is known."""

    wanted: object | None = None
    """What is to be served; None: nothing."""
    incarnations: dict[int, Incarnation] = msgspec.field(default_factory=dict)
    started: int = 0
    """So many so far; their numbers are 1, 2, ..."""
    failures: int = 0
    """In a row."""
    retry_at: float = 0.0


class Start(msgspec.Struct, frozen=True):
    """Start a process for what is wanted."""

    number: int


class Leave(msgspec.Struct, frozen=True):
    """Tell it to leave."""

    number: int


class Kill(msgspec.Struct, frozen=True):
    """SIGKILL."""

    number: int
    why: str


Decision = Start | Leave | Kill


def decide(keeping: Keeping, now: float) -> list[Decision]:
    """What is due. To be repeated, each recorded, until there is nothing."""
    return list(_decisions(keeping, now))


def _decisions(keeping: Keeping, now: float) -> Iterator[Decision]:
    for number, each in keeping.incarnations.items():
        if each.phase in (Phase.BOOTING, Phase.SERVING) and each.what != keeping.wanted:
            yield Leave(number)
        elif each.phase is Phase.BOOTING and now >= each.deadline:
            yield Kill(number, f"not ready after {BOOT_TIMEOUT_S:g}s")
        elif each.phase is Phase.LEAVING and now >= each.deadline:
            yield Kill(number, "it did not leave when told to")
    if keeping.wanted is not None and _current(keeping) is None and now >= keeping.retry_at:
        yield Start(keeping.started + 1)


def next_deadline(keeping: Keeping) -> float | None:
    """When something is due although nothing happens; None: never."""
    timed = (Phase.BOOTING, Phase.LEAVING)
    times = [each.deadline for each in keeping.incarnations.values() if each.phase in timed]
    if keeping.wanted is not None and _current(keeping) is None:
        times.append(keeping.retry_at)
    return min(times, default=None)


def record(keeping: Keeping, decision: Decision, now: float) -> None:
    """Note that it is being carried out."""
    if isinstance(decision, Start):
        keeping.started = decision.number
        fresh = Incarnation(keeping.wanted, Phase.BOOTING, now + BOOT_TIMEOUT_S)
        keeping.incarnations[decision.number] = fresh
    elif isinstance(decision, Leave):
        leaving = keeping.incarnations[decision.number]
        leaving.phase, leaving.deadline = Phase.LEAVING, now + LEAVE_TIMEOUT_S
    else:
        keeping.incarnations[decision.number].phase = Phase.KILLED


def ready(keeping: Keeping, number: int, now: float) -> None:
    """It serves."""
    found = keeping.incarnations[number]
    if found.phase is Phase.BOOTING:
        found.phase, found.deadline = Phase.SERVING, now


def ended(keeping: Keeping, number: int, now: float) -> float | None:
    """It is gone, or could not be started. Returns how long to wait with the next one; None: nobody expected it to stay."""
    gone = keeping.incarnations.pop(number)
    if gone.phase is Phase.LEAVING or gone.what != keeping.wanted:
        return None
    was_stable = gone.phase is Phase.SERVING and now - gone.deadline >= STABLE_AFTER_S
    keeping.failures = 1 if was_stable else keeping.failures + 1
    delay_s = slot_delay_s(keeping.failures)
    keeping.retry_at = now + delay_s
    return delay_s


def _current(keeping: Keeping) -> Incarnation | None:
    staying = (Phase.BOOTING, Phase.SERVING, Phase.KILLED)
    found = (each for each in keeping.incarnations.values() if each.phase in staying)
    return next((each for each in found if each.what == keeping.wanted), None)
