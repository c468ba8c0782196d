"""A drain by example: who may ask for it, what ends it, and that a stop after it loses no time."""

from __future__ import annotations

import os

import pytest

from prefork.master import events
from prefork.master.actions import DrainWorker, EndDrain
from prefork.master.plan import next_deadline
from prefork.master.snapshot import _state
from prefork.master.state import Limits, Stop
from unit.master.simulation import Simulation

DELAY_S = 10.0
LIMITS = Limits(boot_timeout_s=60.0, drain_timeout_s=30.0, drain_delay_s=DELAY_S)
TERM = events.StopAsked(fast=False, by="SIGTERM")
INT = events.StopAsked(fast=True, by="SIGINT")


def running(limits: Limits = LIMITS) -> Simulation:
    return Simulation(count=2, limits=limits).boot()


def drained_workers(sim: Simulation) -> list[int]:
    return [action.worker for action in sim.done if isinstance(action, DrainWorker)]


def test_a_stop_serves_on_for_the_delay_and_then_drains_its_workers() -> None:
    sim = running()
    began = sim.now
    sim.happens(TERM)
    assert _state(sim.pool) == "draining"
    assert next_deadline(sim.pool, sim.now) == began + DELAY_S
    sim.advance(DELAY_S - 0.1)
    assert sim.accepting() == {1: [1], 2: [1]}
    assert drained_workers(sim) == []
    sim.advance(0.1)
    assert len(drained_workers(sim)) == 2
    assert sim.pool.stop is Stop.GRACEFUL
    sim.settle()
    assert sim.pool.finished
    assert [note.event for note in sim.notes if note.event in ("draining", "drained", "stopping")] == [
        "draining",
        "drained",
        "stopping",
    ]


def test_a_drain_alone_stops_nothing_and_a_resume_ends_it() -> None:
    sim = running()
    sim.happens(events.DrainAsked(None, by="control"))
    sim.advance(100 * DELAY_S)
    assert sim.accepting() == {1: [1], 2: [1]}
    assert sim.done.count(EndDrain()) == 1
    assert _state(sim.pool) == "draining"
    sim.happens(events.ResumeAsked())
    assert _state(sim.pool) == "serving"
    assert sim.said("drain_ended")


def test_a_stop_after_a_drain_begins_at_once() -> None:
    sim = running()
    sim.happens(events.DrainAsked(None, by="control"))
    sim.advance(DELAY_S)
    sim.happens(TERM)
    assert sim.pool.stop is Stop.GRACEFUL


def test_a_stop_during_a_drain_waits_for_its_end_and_no_longer() -> None:
    sim = running()
    sim.happens(events.DrainAsked(4.0, by="control"))
    sim.advance(3.0)
    sim.happens(TERM)
    assert sim.pool.stop is Stop.NO
    sim.advance(1.0)
    assert sim.pool.stop is Stop.GRACEFUL
    (note,) = sim.said("stop_awaits_drain")
    assert note.fields["for_s"] == 1.0


def test_each_further_request_to_stop_is_more_impatient() -> None:
    sim = running()
    seen = []
    for _ in range(3):
        sim.happens(TERM)
        seen.append(sim.pool.stop)
    assert seen == [Stop.NO, Stop.GRACEFUL, Stop.FAST]


def test_a_fast_stop_waits_for_nothing() -> None:
    sim = running()
    sim.happens(TERM)
    sim.happens(INT)
    assert sim.pool.stop is Stop.FAST


@pytest.mark.parametrize("delay_s", [None, 0.0])
def test_no_delay_is_asked_for(delay_s: float | None) -> None:
    sim = running(LIMITS if delay_s is not None else Limits(boot_timeout_s=60.0, drain_timeout_s=30.0))
    sim.happens(events.StopAsked(fast=False, by="control", delay_s=delay_s))
    assert sim.pool.stop is Stop.GRACEFUL


def test_who_asks_knows_better_than_the_settings() -> None:
    sim = running()
    sim.happens(events.StopAsked(fast=False, by="control", delay_s=2.5))
    assert sim.pool.drain is not None
    assert sim.pool.drain.until == sim.now + 2.5


def test_a_second_drain_with_its_own_delay_begins_anew_and_one_without_does_not() -> None:
    sim = running()
    sim.happens(events.DrainAsked(None, by="control"))
    sim.advance(DELAY_S)
    sim.happens(events.DrainAsked(None, by="control"))
    assert len(sim.said("drained")) == 2, "whoever waits is told at once"
    sim.happens(events.DrainAsked(5.0, by="control"))
    sim.advance(5.0)
    assert len(sim.said("drained")) == 3


@pytest.mark.parametrize("what", ["paused", "starting"])
def test_where_nobody_serves_there_is_nothing_to_go_on_with(what: str) -> None:
    sim = Simulation(count=1, limits=LIMITS)
    if what == "paused":
        sim.boot()
        sim.happens(events.PauseAsked())
    else:
        sim.start()
    sim.happens(TERM)
    assert sim.pool.stop is Stop.GRACEFUL


def test_a_worker_that_dies_during_a_drain_is_replaced() -> None:
    sim = running()
    sim.happens(TERM)
    sim.dies(next(p.pid for p in sim.processes.values() if p.worker is not None))
    sim.settle()
    assert sim.accepting() == {1: [1], 2: [1]}


def test_nothing_new_is_begun_once_a_stop_is_to_follow() -> None:
    sim = running()
    sim.happens(TERM)
    for event in (
        events.ReloadAsked(),
        events.UpgradeAsked(by="test"),
        events.ScaleAsked(1),
        events.PauseAsked(),
        events.ResumeAsked(),
    ):
        sim.happens(event)
    assert sim.pool.candidate is None and sim.pool.trial is None
    assert sim.pool.target == 2 and not sim.pool.paused
    assert sim.pool.drain is not None


def test_a_drained_server_can_be_reloaded_and_stays_drained() -> None:
    sim = running()
    sim.happens(events.DrainAsked(0.0, by="control"))
    sim.happens(events.ReloadAsked())
    sim.settle()
    assert sim.pool.active == 2
    assert _state(sim.pool) == "draining"


def test_time_that_the_machine_slept_does_not_count() -> None:
    sim = running()
    sim.happens(TERM)
    sim.now += 1000.0
    sim.happens(events.ClockJumped(1000.0))
    assert sim.pool.stop is Stop.NO
    sim.advance(DELAY_S)
    assert sim.pool.stop is Stop.GRACEFUL


def test_an_upgrade_keeps_the_drain() -> None:
    sim = running()
    sim.happens(events.UpgradeAsked(by="test"))
    sim.happens(TERM)
    trial = next(p.pid for p in sim.processes.values() if p.trial)
    sim.dies(trial, code=os.EX_OK)
    assert sim.pool.candidate is None, "the reload that follows an upgrade is not begun"
    sim.advance(DELAY_S)
    assert sim.pool.stop is Stop.GRACEFUL
