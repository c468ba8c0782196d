"""The deadline wheel against a list of deadlines: never early, about a second late at most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.worker.timers import NEVER, DeadlineWheel, Timed


class Thing:
    """Something with a deadline."""

    def __init__(self, deadline: float = NEVER) -> None:
        self.deadline = deadline
        self.bucket = 0


RECHECK_S = 5.0
LATE_S = 1.0
"""The resolution of the wheel."""


def watched(wheel: DeadlineWheel, *deadlines: float) -> list[Thing]:
    things = [Thing(deadline) for deadline in deadlines]
    for thing in things:
        wheel.watch(thing)
    return things


def test_nobody_waits() -> None:
    wheel = DeadlineWheel(RECHECK_S)
    assert wheel.timeout_s(100.0) == -1
    assert wheel.due(100.0) == []
    wheel.forget(Thing(5.0))
    wheel.watch(Thing(NEVER))
    assert wheel.timeout_s(100.0) == -1


def test_sleeps_until_the_first_deadline_and_no_longer_than_a_second_behind_it() -> None:
    wheel = DeadlineWheel(RECHECK_S)
    later, first = watched(wheel, 120.0, 110.25)
    assert 10.25 < wheel.timeout_s(100.0) <= 10.25 + LATE_S
    assert wheel.due(110.25) == []
    assert wheel.due(111.0) == [first]
    assert 9.0 < wheel.timeout_s(111.0) <= 9.0 + LATE_S
    assert wheel.due(125.0) == [later]
    assert wheel.timeout_s(125.0) == -1


def test_overdue_does_not_wait() -> None:
    wheel = DeadlineWheel(RECHECK_S)
    watched(wheel, 10.0)
    assert wheel.timeout_s(50.0) == 0


def test_forget() -> None:
    wheel = DeadlineWheel(RECHECK_S)
    a, b, c = watched(wheel, 10.0, 10.5, 20.0)
    wheel.forget(a)
    wheel.forget(a)
    assert wheel.due(15.0) == [b]
    wheel.forget(c)
    assert wheel.timeout_s(15.0) == -1
    assert wheel.due(100.0) == []


def test_a_later_deadline_needs_no_word() -> None:
    wheel = DeadlineWheel(RECHECK_S)
    (thing,) = watched(wheel, 10.0)
    thing.deadline = 30.0
    assert wheel.due(12.0) == []
    assert wheel.due(29.9) == []
    assert wheel.due(31.0) == [thing]


def test_an_earlier_deadline_is_told() -> None:
    wheel = DeadlineWheel(RECHECK_S)
    (thing,) = watched(wheel, 100.0)
    thing.deadline = 10.0
    wheel.watch(thing)
    assert wheel.due(11.0) == [thing]
    assert wheel.timeout_s(11.0) == -1


def test_never_is_looked_at_again_in_time_for_what_another_thread_sets() -> None:
    wheel = DeadlineWheel(RECHECK_S)
    (thing,) = watched(wheel, 10.0)
    thing.deadline = NEVER
    assert wheel.due(11.0) == []
    thing.deadline = 12.0 + RECHECK_S  # set at 12.0 by a pool thread that does not tell
    assert wheel.due(11.9 + RECHECK_S) == []
    assert wheel.due(12.0 + RECHECK_S + LATE_S) == [thing]


def test_a_recheck_never_spins() -> None:
    wheel = DeadlineWheel(0.001)
    (thing,) = watched(wheel, 10.0)
    thing.deadline = NEVER
    wheel.due(11.0)
    assert wheel.timeout_s(11.0) >= 1.0


@pytest.mark.parametrize("deadline", [0.0, 0.5, 1.0, 1e9])
def test_all_times_are_times(deadline: float) -> None:
    wheel = DeadlineWheel(RECHECK_S)
    (thing,) = watched(wheel, deadline)
    assert wheel.due(deadline + LATE_S) == [thing]


seconds = st.floats(0, 40, allow_nan=False)
steps = st.one_of(
    st.tuples(st.just("pass"), seconds),
    st.tuples(st.just("new"), seconds),
    st.tuples(st.just("later"), seconds),
    st.tuples(st.just("told"), seconds),
    st.tuples(st.just("never"), seconds),
    st.tuples(st.just("rest"), seconds),
    st.tuples(st.just("forget"), seconds),
)


@given(st.lists(steps, max_size=40), st.data())
def test_like_a_naive_list(actions: list[tuple[str, float]], data: st.DataObject) -> None:
    wheel = DeadlineWheel(RECHECK_S)
    alive: set[Thing] = set()
    now = 1000.0
    for action, amount in actions:
        chosen = (
            data.draw(st.sampled_from(sorted(alive, key=id)))
            if alive and action not in ("pass", "new")
            else None
        )
        if action == "pass":
            now = _live_through(wheel, alive, now, now + amount)
        elif action == "new":
            alive.update(watched(wheel, now + amount))
        elif chosen is None:
            pass
        elif action == "later" and chosen.deadline != NEVER:
            chosen.deadline += amount
        elif action == "told":
            chosen.deadline = now + amount
            wheel.watch(chosen)
        elif action == "never":
            chosen.deadline = NEVER
        elif action == "rest" and chosen.deadline == NEVER and chosen.bucket <= now + RECHECK_S + LATE_S:
            chosen.deadline = now + RECHECK_S + amount  # not told: no earlier than the wheel looks again
        elif action == "forget":
            wheel.forget(chosen)
            alive.discard(chosen)
    for thing in alive:
        if thing.deadline == NEVER:
            wheel.forget(thing)
    alive = {thing for thing in alive if thing.deadline != NEVER}
    _live_through(wheel, alive, now, now + 200.0)
    assert alive == set()
    assert wheel.timeout_s(now) == -1


def _live_through(wheel: DeadlineWheel, alive: set[Thing], now: float, until: float) -> float:
    """Sleeps as an event loop does. Nobody early, nobody more than a second late, nobody twice."""
    while True:
        timeout = wheel.timeout_s(now)
        woken = until if timeout < 0 else min(until, now + timeout)
        expired: list[Timed] = wheel.due(woken)
        for thing in expired:
            assert isinstance(thing, Thing)
            assert now - LATE_S - 1e-6 <= thing.deadline <= woken
            assert woken - thing.deadline <= LATE_S + 1e-6
            assert thing.bucket == 0
            alive.remove(thing)
        now = woken
        assert all(thing.deadline > now - LATE_S - 1e-6 for thing in alive)
        if now >= until:
            return now
