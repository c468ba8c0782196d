"""Recycling: replacement first, one at a time, and nothing lost when the replacement does not come up."""

from __future__ import annotations

import itertools

import msgspec.structs
import pytest

from prefork.master import events, recycling
from prefork.master.actions import DrainWorker, KillWorker, MeasureMemory, SpawnWorker
from prefork.master.plan import next_deadline
from prefork.master.state import STABLE_AFTER_S, Limits
from unit.master.simulation import LIMITS, Simulation


def make(count: int = 3, **limits: float) -> Simulation:
    sim = Simulation(count=count, limits=msgspec.structs.replace(LIMITS, **limits))  # type: ignore[arg-type]
    return sim.boot()


def drained(sim: Simulation) -> list[DrainWorker]:
    return [each for each in sim.done if isinstance(each, DrainWorker)]


def wear_out(sim: Simulation, *workers: int) -> None:
    for worker in workers:
        sim.happens(events.WorkerWantsLeave(worker, "max_requests = 5"))


def test_a_worker_that_served_enough_goes_when_its_replacement_accepts() -> None:
    sim = make()
    sim.advance(10)
    wear_out(sim, 2)
    (replacement,) = sim.booting()
    assert sim.pool.workers[replacement].slot == 2
    assert drained(sim) == []
    sim.accepts(replacement)
    assert drained(sim) == [DrainWorker(2, "max_requests = 5")]
    sim.settle()
    assert sim.accepting() == {1: [1], 2: [1], 3: [1]}


def test_who_is_replaced_while_it_serves_has_time_and_who_is_gone_has_not() -> None:
    def asked() -> list[bool]:
        return [each.beside for each in sim.done if isinstance(each, SpawnWorker)]

    sim = make(2)
    assert asked() == [False, False]
    sim.advance(10)
    wear_out(sim, 1)
    assert asked() == [False, False, True]
    sim.accepts(sim.booting()[0])
    sim.settle()
    sim.worker_gives_up(2)
    assert asked()[3:] == [False]


def test_the_next_one_waits_until_the_one_before_has_left() -> None:
    sim = make()
    sim.advance(10)
    wear_out(sim, 1, 2, 3)
    for _ in range(3):
        (replacement,) = sim.booting()
        sim.accepts(replacement)
        assert sim.booting() == []
        leaving = next(p.pid for p in sim.processes.values() if p.told == "drain")
        assert len([w for w in sim.pool.workers.values() if w.is_booting or w.ready_at is not None]) == 4
        sim.obey(leaving)
    assert sim.booting() == []
    assert [each.worker for each in drained(sim)] == [1, 2, 3]


def test_a_fresh_worker_stays_a_while_whatever_it_wants() -> None:
    sim = make()
    wear_out(sim, 1)
    assert sim.booting() == []
    sim.advance(STABLE_AFTER_S)
    assert len(sim.booting()) == 1


def test_the_old_one_stays_when_the_replacement_does_not_boot() -> None:
    sim = make(1)
    sim.advance(10)
    wear_out(sim, 1)
    delays = []
    for _ in range(4):
        failed_at = sim.now
        sim.worker_gives_up(sim.booting()[0])
        assert sim.accepting() == {1: [1]}
        assert sim.said("worker_exited")[-1].fields["serving_pid"] == sim.pool.workers[1].pid
        sim.advance(0)
        while not sim.booting():
            sim.advance((next_deadline(sim.pool, sim.now) or 0) - sim.now)
        delays.append(round(sim.now - failed_at, 2))
    assert delays == [0, 0.1, 0.2, 0.4]
    assert drained(sim) == []
    sim.accepts(sim.booting()[0])
    assert [each.worker for each in drained(sim)] == [1]


def test_a_reload_that_fails_does_not_forget_who_is_to_be_recycled() -> None:
    sim = make(1)
    sim.advance(10)
    sim.happens(events.ReloadAsked())
    wear_out(sim, 1)
    sim.dies(sim.zygote_of(2), code=3)
    assert len(sim.booting()) == 1
    assert sim.pool.workers[sim.booting()[0]].generation == 1


def test_lifetimes_are_spread_and_never_longer_than_allowed() -> None:
    limits = Limits(60, 30, max_lifetime_s=100.0)
    lifetimes = [recycling.lifetime_s(limits, worker) for worker in range(1, 101)]
    values = sorted(each for each in lifetimes if each is not None)
    assert len(values) == 100
    assert 90 <= values[0] < 90.5
    assert 99.5 < values[-1] <= 100
    assert max(b - a for a, b in itertools.pairwise(values)) < 0.5
    assert recycling.lifetime_s(LIMITS, 1) is None


def test_a_lifetime_ends() -> None:
    sim = make(2, max_lifetime_s=100.0)
    sim.advance(89)
    assert drained(sim) == []
    for _ in range(3):
        sim.advance(6)
        sim.settle()
    assert {each.worker for each in drained(sim)} == {1, 2}
    assert drained(sim)[0].reason == "max_lifetime = 100s"


def test_memory_is_looked_at_only_if_it_is_limited() -> None:
    sim = make()
    sim.advance(100)
    assert not [each for each in sim.done if isinstance(each, MeasureMemory)]
    sim = make(max_memory=1)
    sim.advance(10)
    measured = len([each for each in sim.done if isinstance(each, MeasureMemory)])
    assert measured == pytest.approx(10 / recycling.MEASURE_EVERY_S, abs=2)


def test_too_much_memory_is_a_reason_to_go_and_far_too_much_to_die() -> None:
    mib = 1 << 20
    sim = make(2, max_memory=100 * mib, max_memory_hard=200 * mib)
    sim.advance(10)
    sim.happens(events.MemoryMeasured(1, 100 * mib))
    assert sim.booting() == []
    sim.happens(events.MemoryMeasured(1, 101 * mib))
    sim.settle()
    assert drained(sim) == [DrainWorker(1, "101MiB of memory, max_memory = 100MiB")]
    sim.happens(events.MemoryMeasured(2, 201 * mib))
    kills = [each for each in sim.done if isinstance(each, KillWorker)]
    assert kills == [KillWorker(2, "201MiB of memory, max_memory_hard = 200MiB")]
    assert sim.said("worker_exited")[-1].fields["killed"] == kills[0].why
    sim.settle()
    assert sim.accepting() == {1: [1], 2: [1]}


def test_a_reload_takes_over_from_a_recycled_worker_and_a_successor_that_is_to_go_too() -> None:
    sim = make(2)
    sim.advance(10)
    sim.happens(events.RecycleAsked(2))
    (successor,) = sim.booting()
    sim.happens(events.ReloadAsked())
    sim.zygote_ready(2)
    sim.accepts(successor)
    sim.happens(events.RecycleAsked(None))
    sim.settle()
    assert sim.accepting() == {1: [2], 2: [2]}
    assert sim.pool.candidate is None
