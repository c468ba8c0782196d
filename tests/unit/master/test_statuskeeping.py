"""When a status process is started, told to leave, killed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prefork.master.state import STABLE_AFTER_S
from prefork.master.statuskeeping import (
    BOOT_TIMEOUT_S,
    LEAVE_TIMEOUT_S,
    Decision,
    Keeping,
    Kill,
    Leave,
    Phase,
    Start,
    decide,
    ended,
    next_deadline,
    ready,
    record,
)


def turn(keeping: Keeping, now: float) -> list[Decision]:
    """Everything that is due, recorded."""
    done: list[Decision] = []
    while decisions := decide(keeping, now):
        for decision in decisions:
            record(keeping, decision, now)
            done.append(decision)
        assert len(done) < 100
    return done


def test_nothing_is_started_for_nobody() -> None:
    keeping = Keeping()
    assert turn(keeping, 0) == []
    assert next_deadline(keeping) is None


def test_one_is_started_and_left_alone() -> None:
    keeping = Keeping(wanted="a")
    assert turn(keeping, 0) == [Start(1)]
    assert next_deadline(keeping) == BOOT_TIMEOUT_S
    ready(keeping, 1, 1)
    assert turn(keeping, 10_000) == []
    assert next_deadline(keeping) is None


def test_one_that_is_to_serve_something_else_is_replaced() -> None:
    keeping = Keeping(wanted="a")
    turn(keeping, 0)
    ready(keeping, 1, 0)
    keeping.wanted = "b"
    assert turn(keeping, 5) == [Leave(1), Start(2)]
    assert ended(keeping, 1, 6) is None
    assert turn(keeping, 6) == []


def test_back_to_what_the_leaving_one_served() -> None:
    keeping = Keeping(wanted="a")
    turn(keeping, 0)
    keeping.wanted = "b"
    turn(keeping, 0)
    keeping.wanted = "a"
    assert turn(keeping, 0) == [Leave(2), Start(3)]


def test_one_that_does_not_leave_is_killed() -> None:
    keeping = Keeping(wanted="a")
    turn(keeping, 0)
    ready(keeping, 1, 0)
    keeping.wanted = None
    assert turn(keeping, 1) == [Leave(1)]
    assert next_deadline(keeping) == 1 + LEAVE_TIMEOUT_S
    assert turn(keeping, 1 + LEAVE_TIMEOUT_S) == [Kill(1, "it did not leave when told to")]
    assert ended(keeping, 1, 4) is None
    assert turn(keeping, 5) == [] and next_deadline(keeping) is None


def test_one_that_does_not_become_ready_is_killed_and_another_started() -> None:
    keeping = Keeping(wanted="a")
    turn(keeping, 0)
    (kill,) = turn(keeping, BOOT_TIMEOUT_S)
    assert isinstance(kill, Kill) and "not ready after" in kill.why
    assert turn(keeping, BOOT_TIMEOUT_S + 1) == [], "not before it is gone"
    assert ended(keeping, 1, BOOT_TIMEOUT_S + 1) == 0.0
    assert turn(keeping, BOOT_TIMEOUT_S + 1) == [Start(2)]


def test_one_that_dies_is_replaced_at_once_and_one_that_keeps_dying_ever_later() -> None:
    keeping, now, delays = Keeping(wanted="a"), 0.0, []
    for number in range(1, 15):
        assert turn(keeping, now) == [Start(number)]
        delay_s = ended(keeping, number, now)
        assert delay_s is not None
        delays.append(delay_s)
        if delay_s:
            assert turn(keeping, now + delay_s * 0.99) == []
            assert next_deadline(keeping) == now + delay_s
        now += delay_s
    assert delays[0] == 0.0 and delays[1] > 0.0
    assert delays == sorted(delays) and delays[-1] <= 30.0


def test_a_long_life_is_forgiven() -> None:
    keeping = Keeping(wanted="a", failures=5)
    turn(keeping, 0)
    ready(keeping, 1, 0)
    assert ended(keeping, 1, STABLE_AFTER_S) == 0.0


def test_what_came_from_the_program_before_is_replaced() -> None:
    from prefork.master.statuskeeping import Incarnation

    keeping = Keeping(wanted="a", started=1)
    keeping.incarnations[1] = Incarnation("before", Phase.SERVING, 0)
    assert turn(keeping, 0) == [Leave(1), Start(2)]


@given(
    st.lists(
        st.tuples(st.sampled_from("wait ready die a b none".split()), st.integers(0, 3), st.floats(0, 40))
    )
)
def test_whatever_happens_at_most_one_serves_and_in_the_end_it_is_the_right_one(
    steps: list[tuple[str, int, float]],
) -> None:
    keeping, now = Keeping(), 0.0
    for what, index, time_s in steps:
        now += time_s
        members = list(keeping.incarnations)
        chosen = members[index % len(members)] if members else None
        if what in ("a", "b", "none"):
            keeping.wanted = None if what == "none" else what
        elif what == "ready" and chosen is not None:
            ready(keeping, chosen, now)
        elif what == "die" and chosen is not None:
            ended(keeping, chosen, now)
        turn(keeping, now)
        staying = [
            each for each in keeping.incarnations.values() if each.phase in (Phase.BOOTING, Phase.SERVING)
        ]
        assert len(staying) <= 1
        assert all(each.what == keeping.wanted for each in staying)
        deadline = next_deadline(keeping)
        assert deadline is None or deadline > now, "the master would spin"
