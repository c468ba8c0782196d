"""So many a second, and a few more in a row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prefork.master.allowance import Allowance


def test_a_burst_then_the_rate() -> None:
    allowance = Allowance(rate=10.0, burst=3)
    assert [allowance.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert abs(allowance.next_at() - 100.1) < 1e-9
    assert not allowance.take(100.05)
    assert allowance.take(allowance.next_at())
    assert not allowance.take(100.1)


def test_a_rest_does_not_save_up_more_than_the_burst() -> None:
    allowance = Allowance(rate=10.0, burst=3)
    assert sum(allowance.take(1e9) for _ in range(10)) == 3


@given(st.lists(st.floats(0, 0.2), max_size=200), st.floats(0, 1e9))
def test_never_more_than_allowed_and_whoever_waits_gets_it(steps: list[float], start: float) -> None:
    allowance, now, taken = Allowance(rate=10.0, burst=5), start, 0
    for step in steps:
        now += step
        if allowance.take(now):
            taken += 1
        else:
            now = max(now, allowance.next_at())
            assert allowance.take(now)
            taken += 1
    assert taken <= 5 + 10.0 * (now - start) + 1
