"""A worker with a request that does not end: replaced first, then left to its deadline or to `WorkerDoomed`."""

from __future__ import annotations

from prefork.master import events
from prefork.master.actions import DrainWorker, KillWorker
from unit.master.simulation import Simulation


def make(count: int = 3) -> Simulation:
    sim = Simulation(count=count).boot()
    sim.advance(10)
    return sim


def killed(sim: Simulation) -> list[KillWorker]:
    return [each for each in sim.done if isinstance(each, KillWorker)]


def test_it_serves_until_its_replacement_does_and_is_killed_when_told() -> None:
    sim = make()
    sim.happens(events.WorkerStuck(2))
    (replacement,) = sim.booting()
    assert sim.accepting() == {1: [1], 2: [1], 3: [1]}
    sim.accepts(replacement)
    assert DrainWorker(2, "request_stuck") in sim.done
    assert killed(sim) == []
    sim.happens(events.WorkerDoomed(2, "stuck in GET / HTTP/1.1 for 40.0s, kill_after = 10s"))
    assert killed(sim) == [KillWorker(2, "stuck in GET / HTTP/1.1 for 40.0s, kill_after = 10s")]
    sim.advance(1)
    assert sim.accepting() == {1: [1], 2: [1], 3: [1]}
    assert 2 not in sim.pool.workers


def test_siblings_that_do_not_finish_hold_it_for_the_drain_timeout_only() -> None:
    sim = make()
    sim.happens(events.WorkerStuck(2))
    sim.accepts(*sim.booting())
    sim.advance(sim.pool.generations[1].limits.drain_timeout_s + 1)
    assert [each.worker for each in killed(sim)] == [2]


def test_it_does_not_wait_for_a_recycled_worker_that_drains() -> None:
    """That only makes room; this one holds up requests."""
    sim = make()
    sim.happens(events.WorkerWantsLeave(1, "max_requests = 5"))
    sim.accepts(*sim.booting())
    assert sim.booting() == []
    sim.happens(events.WorkerStuck(3))
    (replacement,) = sim.booting()
    assert sim.pool.workers[replacement].slot == 3


def test_all_workers_can_be_stuck_at_once() -> None:
    sim = make()
    for worker in (1, 2, 3):
        sim.happens(events.WorkerStuck(worker))
    for _ in range(3):
        sim.accepts(*sim.booting())
    assert sim.booting() == []
    assert [each.worker for each in sim.done if isinstance(each, DrainWorker)] == [1, 2, 3]


def test_one_that_drains_already_is_not_replaced_twice() -> None:
    sim = make()
    sim.happens(events.WorkerStuck(1))
    sim.accepts(*sim.booting())
    sim.happens(events.WorkerStuck(1))
    assert sim.booting() == []


def test_without_a_zygote_it_stays() -> None:
    sim = make()
    sim.dies(sim.zygote_of(1))
    sim.happens(events.WorkerStuck(1))
    assert killed(sim) == []
    assert 1 in sim.pool.workers


def test_in_a_stop_it_is_ended_as_soon_as_nobody_else_is_left() -> None:
    sim = make()
    sim.happens(events.StopAsked(fast=False, by="test"))
    sim.happens(events.WorkerStuck(1))
    sim.happens(events.WorkerDoomed(1, "stuck"))
    assert killed(sim) == [KillWorker(1, "stuck")]


def test_one_that_is_gone_is_no_matter() -> None:
    sim = make()
    before = list(sim.done)
    sim.happens(events.WorkerStuck(77))
    sim.happens(events.WorkerDoomed(77, "stuck"))
    assert sim.done == before
