"""Histograms: every duration has its bucket, quantiles are off by no more than a bucket, sums lose nothing."""

from __future__ import annotations

import itertools
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.ipc.histogram import BOUNDS_NS, BOUNDS_S, BUCKETS, bucket, difference, merge, quantile

DURATIONS = st.lists(st.one_of(st.integers(0, 10**9), st.integers(0, 200 * 10**9)), min_size=1, max_size=60)


def histogram_of(durations_ns: list[int]) -> list[int]:
    counts = [0] * BUCKETS
    for each in durations_ns:
        counts[bucket(each)] += 1
    return counts


def test_the_bounds_reach_from_fractions_of_a_millisecond_to_minutes() -> None:
    assert list(BOUNDS_NS) == sorted(set(BOUNDS_NS))
    assert BOUNDS_S[0] <= 50e-6
    assert BOUNDS_S[-1] >= 120
    assert all(later / earlier <= 1.25 for earlier, later in itertools.pairwise(BOUNDS_NS))


@pytest.mark.parametrize("bound", BOUNDS_NS)
def test_a_bound_ends_its_bucket(bound: int) -> None:
    for each in (bound - 1, bound, bound + 1):
        assert bucket(each) == bisect_left(BOUNDS_NS, each)


@given(st.integers(-(10**18), 10**18))
def test_every_duration_has_its_bucket(duration_ns: int) -> None:
    assert bucket(duration_ns) == bisect_left(BOUNDS_NS, duration_ns)


@given(DURATIONS, st.floats(0, 1))
def test_a_quantile_is_off_by_no_more_than_its_bucket(durations_ns: list[int], q: float) -> None:
    found = quantile(histogram_of(durations_ns), q)
    rank = max(-(-int(q * 1e9) * len(durations_ns) // 10**9), 1)
    true_ns = sorted(durations_ns)[min(rank, len(durations_ns)) - 1]
    index = bucket(true_ns)
    below = BOUNDS_S[index - 2] if index > 1 else 0.0
    above = BOUNDS_S[min(index + 1, len(BOUNDS_S) - 1)]
    assert below <= found <= above


def test_nothing_was_fast() -> None:
    assert quantile([], 0.5) == quantile([0] * BUCKETS, 0.99) == 0.0


def test_what_lasted_for_ever_lasted_at_least_as_long_as_the_last_bound() -> None:
    assert quantile(histogram_of([10**15] * 3), 0.5) == BOUNDS_S[-1]


@given(DURATIONS, DURATIONS)
def test_merging_is_counting_together_and_difference_undoes_it(one: list[int], other: list[int]) -> None:
    both = merge(histogram_of(one), histogram_of(other))
    assert both == histogram_of(one + other)
    assert difference(both, histogram_of(one)) == histogram_of(other)


def test_after_a_restart_all_is_new() -> None:
    assert difference(histogram_of([1]), histogram_of([1, 1])) == histogram_of([1])
    assert difference(histogram_of([1]), []) == histogram_of([1])
    assert difference([], []) == merge() == merge([], ()) == [0] * BUCKETS
