"""The generation before is parked, comes back like any candidate, and is given up in the end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from prefork.master import actions, events
from prefork.master.plan import next_deadline
from prefork.master.state import GenerationPhase, ZygotePhase
from unit.master import simulation
from unit.master.simulation import LIMITS, Simulation


def reloaded(count: int = 3) -> Simulation:
    """Generation 2 serves, generation 1 is parked."""
    sim = Simulation(count=count).boot()
    sim.happens(events.ReloadAsked())
    sim.settle()
    assert sim.pool.active == 2
    return sim


def phase(sim: Simulation, generation: int) -> GenerationPhase:
    return sim.pool.generations[generation].phase


def test_the_generation_before_is_parked_and_its_zygote_lives() -> None:
    sim = reloaded()
    assert phase(sim, 1) is GenerationPhase.PARKED
    assert sim.pool.generations[1].zygote is ZygotePhase.READY
    assert not list(sim.pool.of_generation(1))


def test_a_rollback_rolls_it_in_and_parks_the_other() -> None:
    sim = reloaded()
    zygotes = len([p for p in sim.processes.values() if p.worker is None])
    sim.happens(events.RollbackAsked())
    sim.settle()
    assert sim.accepting() == {1: [1], 2: [1], 3: [1]}
    assert sim.pool.active == 1
    assert phase(sim, 2) is GenerationPhase.PARKED
    assert len([p for p in sim.processes.values() if p.worker is None]) == zygotes, (
        "nothing is imported again"
    )
    sim.happens(events.RollbackAsked())
    sim.settle()
    assert sim.pool.active == 2
    assert phase(sim, 1) is GenerationPhase.PARKED


def test_a_rollback_never_leaves_a_slot_without_a_worker_and_has_one_surge() -> None:
    # Both are asserted by the simulation after every action.
    sim = reloaded()
    sim.happens(events.RollbackAsked())
    assert len(sim.booting()) == 1
    assert sim.accepting() == {1: [2], 2: [2], 3: [2]}


def test_only_one_generation_is_parked() -> None:
    sim = reloaded()
    sim.happens(events.ReloadAsked())
    sim.settle()
    assert sim.pool.active == 3
    assert sim.pool.generations.keys() == {2, 3}
    assert phase(sim, 2) is GenerationPhase.PARKED


def test_the_window_ends() -> None:
    sim = reloaded()
    deadline = next_deadline(sim.pool, sim.now)
    assert deadline is not None
    assert deadline <= sim.now + LIMITS.rollback_window_s
    sim.advance(LIMITS.rollback_window_s)
    sim.settle()
    assert sim.pool.generations.keys() == {2}
    sim.happens(events.RollbackAsked())
    (note,) = sim.said("rollback_refused")
    assert "rollback_window" in str(note.fields["error"])


def test_without_a_window_nothing_is_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "LIMITS", replace(LIMITS, rollback_window_s=0.0))
    sim = reloaded()
    assert sim.pool.generations.keys() == {2}


def test_a_parked_zygote_that_dies_cannot_come_back() -> None:
    sim = reloaded()
    sim.dies(sim.zygote_of(1))
    assert sim.pool.generations.keys() == {2}
    assert sim.said("zygote_exited")[-1].level == "warning"
    assert not [each for each in sim.done if isinstance(each, actions.BeginRestart)]
    sim.happens(events.RollbackAsked())
    assert sim.said("rollback_refused")


def test_during_a_reload_it_is_refused() -> None:
    sim = reloaded()
    sim.happens(events.ReloadAsked())
    sim.happens(events.RollbackAsked())
    assert "generation 3 is on its way" in str(sim.said("rollback_refused")[0].fields["error"])
    sim.settle()
    assert sim.pool.active == 3


def test_what_the_system_refuses_leaves_it_parked() -> None:
    sim = reloaded()
    sim.refuse_rollback = True
    sim.happens(events.RollbackAsked())
    assert sim.said("rollback_failed")
    assert phase(sim, 1) is GenerationPhase.PARKED
    sim.refuse_rollback = False
    sim.happens(events.RollbackAsked())
    sim.settle()
    assert sim.pool.active == 1


def test_one_whose_workers_do_not_boot_any_more_fails_like_any_candidate() -> None:
    sim = reloaded()
    sim.happens(events.RollbackAsked())
    sim.worker_gives_up(sim.booting()[0])
    sim.settle()
    assert sim.said("rollback_failed")[0].traceback == "Traceback of no such module"
    assert sim.accepting() == {1: [2], 2: [2], 3: [2]}
    assert sim.pool.generations.keys() == {2}


def test_a_dead_zygote_is_replaced_by_the_parked_one_on_demand() -> None:
    sim = reloaded()
    sim.pool.restart_at = sim.now + 1000
    sim.pool.generations[2].zygote = ZygotePhase.LEAVING
    sim.happens(events.RollbackAsked())
    sim.settle()
    assert sim.pool.active == 1


def test_a_restart_does_not_take_the_place_of_the_parked_one() -> None:
    sim = reloaded()
    sim.dies(sim.zygote_of(2))
    sim.settle()
    assert sim.pool.active == 3
    assert phase(sim, 1) is GenerationPhase.PARKED
    assert sim.pool.generations.keys() == {1, 3}


def test_a_pool_that_pauses_resumes_with_it() -> None:
    sim = reloaded()
    sim.happens(events.PauseAsked())
    sim.settle()
    assert sim.accepting() == {}
    sim.happens(events.RollbackAsked())
    sim.settle()
    assert sim.pool.active == 1
    assert sim.accepting() == {1: [1], 2: [1], 3: [1]}


def test_a_stop_ends_the_parked_one_too() -> None:
    sim = reloaded()
    sim.happens(events.StopAsked(fast=False, by="test"))
    sim.settle()
    assert sim.pool.finished
    assert not sim.processes
