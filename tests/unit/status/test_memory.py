"""Measuring memory, not too often."""

from __future__ import annotations

import os

from prefork.observe.memory import Memory
from prefork.status.memory import KEPT_S, SHARE, Memories


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Measure:
    def __init__(self, clock: Clock, cost_s: float = 0.0) -> None:
        self.clock, self.cost_s, self.count = clock, cost_s, 0

    def __call__(self, pid: int) -> Memory | None:
        self.clock.now += self.cost_s
        self.count += 1
        return None if pid == 404 else Memory(pid, 1, self.count)


def test_a_measurement_is_good_for_a_while() -> None:
    clock = Clock()
    measure = Measure(clock)
    memories = Memories(clock, measure)
    first = memories.of([1, 404])
    assert first[404] is None and first[1] is not None
    clock.now += KEPT_S - 0.1
    assert memories.of([1]) == {1: first[1]}
    clock.now += 0.2
    assert memories.of([1]) != {1: first[1]}
    assert measure.count == 3


def test_a_new_worker_is_measured_at_once() -> None:
    clock = Clock()
    memories = Memories(clock, Measure(clock))
    memories.of([1])
    assert memories.of([1, 2])[2] is not None


def test_large_processes_are_measured_less_often() -> None:
    clock = Clock()
    measure = Measure(clock, cost_s=1.0)
    memories = Memories(clock, measure)
    memories.of([1])
    clock.now += 0.9 / SHARE
    memories.of([1])
    assert measure.count == 1


def test_nobody_waits_for_somebody_elses_measurement() -> None:
    clock = Clock()
    memories = Memories(clock, Measure(clock))
    first = memories.of([1])
    clock.now += KEPT_S + 1
    with memories._lock:
        assert memories.of([1, 2]) == {1: first[1], 2: None}


def test_the_real_thing() -> None:
    (found,) = Memories(lambda: 0.0).of([os.getpid()]).values()
    assert found is not None and found.rss > 1 << 20
