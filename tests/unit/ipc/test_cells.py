"""Cells in shared memory, compiled and in Python: nothing is lost between threads, nothing is written elsewhere."""

from __future__ import annotations

import mmap
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.ipc.cells import Cells, CellsInPython
from prefork.speedups import shared

MAKERS = [CellsInPython, *([] if shared is None else [shared.Cells])]

Make = Callable[[mmap.mmap, int, int], Any]


@pytest.fixture(params=MAKERS, ids=lambda make: make.__module__.rpartition(".")[2])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


def test_the_compiled_one_is_used_where_there_is_one() -> None:
    assert Cells is MAKERS[-1]


def test_what_is_set_and_added_is_read(make: Make) -> None:
    cells = make(mmap.mmap(-1, 4096), 8, 3)
    cells.set(0, 2)
    cells.add(0, 0.5)
    cells.add(2, -1)
    cells.observe(1, 7.5)
    assert [cells.get(index) for index in range(3)] == [10.0, 1.0, -1.0]


def test_neighbours_are_left_alone(make: Make) -> None:
    memory = mmap.mmap(-1, 4096)
    memory[:] = b"\xff" * 4096
    cells = make(memory, 80, 2)
    for index in range(2):
        cells.set(index, 0.0)
        cells.add(index, 0.0)
    assert memory[:80] == b"\xff" * 80
    assert memory[96:] == b"\xff" * 4000


@pytest.mark.parametrize(
    ("at", "count"), [(-8, 1), (4, 1), (4096, 1), (4088, 2), (0, 0), (0, -1), (0, 1 << 60), (1 << 60, 1)]
)
def test_no_place_outside_of_the_memory(make: Make, at: int, count: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        make(mmap.mmap(-1, 4096), at, count)


@pytest.mark.parametrize("index", [-1, 2, 1 << 70])
def test_no_cell_outside_of_the_cells(make: Make, index: int) -> None:
    cells = make(mmap.mmap(-1, 4096), 0, 2)
    for change in (cells.add, cells.set, cells.observe):
        with pytest.raises((IndexError, OverflowError)):
            change(index, 1.0)
    with pytest.raises((IndexError, OverflowError)):
        cells.get(index)


@pytest.mark.parametrize("value", ["1", None, 1j, b"1"])
def test_numbers_only(make: Make, value: object) -> None:
    cells = make(mmap.mmap(-1, 4096), 0, 2)
    for change in (cells.add, cells.set, cells.observe):
        with pytest.raises(TypeError):
            change(1, value)
    assert cells.get(0) == 0.0


def test_threads_lose_nothing_of_each_other(make: Make) -> None:
    cells = make(mmap.mmap(-1, 4096), 0, 2)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda: [cells.add(1, 1.0) for _ in range(20_000)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert cells.get(1) == 80_000


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "set", "observe"]), st.integers(0, 3), st.floats()), max_size=30
)


@pytest.mark.skipif(shared is None, reason="there is no compiled twin here")
@given(STEPS)
@settings(deadline=None)
def test_both_do_the_same(steps: list[tuple[str, int, float]]) -> None:
    assert shared is not None
    memories = [mmap.mmap(-1, 4096) for _ in range(2)]
    for make, memory in zip(MAKERS, memories, strict=True):
        cells = make(memory, 16, 4)
        for name, index, value in steps:
            getattr(cells, name)(index, value)
        del cells
    # NaN differs from itself, and in its bits: compared as text.
    one, other = ([repr(each) for each in memoryview(memory).cast("d")] for memory in memories)
    assert one == other
