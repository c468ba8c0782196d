"""The compiled seat and the one in Python write the same, to the bit."""

from __future__ import annotations

import mmap
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.ipc import histogram, seat
from prefork.ipc.seat import SEAT_BYTES, SeatInPython
from prefork.speedups import shared

pytestmark = pytest.mark.skipif(shared is None, reason="there is no compiled twin here")

AT = 2048
TEXTS = st.one_of(st.text(max_size=300), st.binary(max_size=300).map(lambda each: each.decode("latin-1")))
SMALL = st.integers(0, 10_000)
BIG = st.integers(0, 1 << 62)
TIMES = st.one_of(st.just(0.0), st.floats(-1e12, 1e12), st.just(float("nan")))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.tuples(TEXTS, TEXTS, TIMES, BIG)),
        st.tuples(st.just("begin"), st.tuples(TEXTS, TEXTS)),
        st.tuples(st.just("finish"), st.tuples(st.integers(-10, 2000), BIG, SMALL, BIG)),
        st.tuples(st.just("finish"), st.tuples(st.integers(100, 999), SMALL)),
        st.tuples(st.sampled_from(["progress", "suspend", "count_shed"]), st.just(())),
        st.tuples(st.sampled_from(["sit", "count_exceptions", "extend"]), st.tuples(SMALL)),
    ),
    max_size=20,
)
NOW = 1_700_000_000_123_456_789

_TIMES = [8 * seat._NUMBER_BEFORE + 8 * index for index in (1, 2)]


def test_it_is_the_compiled_one_that_is_used() -> None:
    assert shared is not None
    assert seat.Seat is shared.Seat


def written(make: Any, steps: list[tuple[str, tuple[Any, ...]]]) -> tuple[list[int], list[object]]:
    """What is in the memory after the steps, and what they returned; times and what is counted by them aside."""
    memory = mmap.mmap(-1, 3 * SEAT_BYTES)
    made, returned = make(memory, AT), []
    for name, arguments in steps:
        try:
            result = getattr(made, name)(*arguments)
        except (UnicodeError, ValueError, OverflowError) as error:
            result = type(error).__name__
        returned.append(result if name != "begin" else None)
        returned.append(made.number)
    del made
    fields = list(memoryview(memory).cast("Q"))
    first = AT // 8
    for each in (1, 2, seat._BUSY, seat._QUEUED_SUM):
        fields[first + each] = 0
    for start in (seat._DURATION, seat._QUEUED):
        end = first + start + histogram.BUCKETS
        fields[first + start : end] = [sum(fields[first + start : end])] + [0] * (histogram.BUCKETS - 1)
    return fields, returned


@given(STEPS)
@settings(deadline=None)
def test_both_write_the_same(steps: list[tuple[str, tuple[Any, ...]]]) -> None:
    assert shared is not None
    assert written(shared.Seat, steps) == written(SeatInPython, steps)


@given(
    st.one_of(st.integers(-(1 << 62), 1 << 62), st.integers(0, 200_000), st.sampled_from(histogram.BOUNDS_NS))
)
@settings(deadline=None)
def test_both_find_the_same_bucket(duration_ns: int) -> None:
    assert shared is not None
    for each in (duration_ns - 1, duration_ns, duration_ns + 1):
        assert shared.bucket(each) == histogram.bucket(each)


@pytest.mark.parametrize("at", [-8, 4, 4096 - SEAT_BYTES + 8, 4096, 1 << 60])
def test_no_seat_outside_of_the_memory(at: int) -> None:
    assert shared is not None
    with pytest.raises(ValueError, match="no such place"):
        shared.Seat(mmap.mmap(-1, 4096), at)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("begin", ("GET",)),
        ("begin", (b"GET", "")),
        ("begin", ("GET", None)),
        ("begin", ("GET", "", "soon")),
        ("begin", ("GET", "", 0.0, 0, 0)),
        ("finish", ("200", 0)),
        ("finish", (200,)),
        ("extend", ("1",)),
        ("sit", (None,)),
    ],
)
def test_wrong_arguments_change_nothing(name: str, arguments: tuple[Any, ...]) -> None:
    assert shared is not None
    memory = mmap.mmap(-1, SEAT_BYTES)
    made = shared.Seat(memory, 0)
    with pytest.raises(TypeError):
        getattr(made, name)(*arguments)
    assert memory[:] == bytes(SEAT_BYTES)


def test_the_memory_stays_as_long_as_its_seat() -> None:
    assert shared is not None
    memory = mmap.mmap(-1, SEAT_BYTES)
    made = shared.Seat(memory, 0)
    with pytest.raises(BufferError):
        memory.close()
    del made
    memory.close()
