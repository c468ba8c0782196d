"""The plan, by example. `test_plan_machine` looks for what these did not think of."""

from __future__ import annotations

import pytest

from prefork.errors import EXIT_BOOT_FAILED
from prefork.master import events
from prefork.master.actions import DrainWorker, SpawnWorker, StopWorker, TerminateWorker
from prefork.master.deaths import restart_delay_s, slot_delay_s
from prefork.master.plan import MAX_ORDERS, next_deadline, plan
from prefork.master.state import Failure, Phase
from unit.master.simulation import LIMITS, Simulation


def test_a_first_generation_fills_every_slot_at_once() -> None:
    sim = Simulation(count=3).start()
    assert sim.booting() == []
    sim.zygote_ready(1)
    assert [sim.pool.workers[each].slot for each in sim.booting()] == [1, 2, 3]
    sim.settle()
    assert sim.accepting() == {1: [1], 2: [1], 3: [1]}
    assert len(sim.said("ready")) == 1
    assert sim.pool.active == 1
    assert plan(sim.pool, sim.now) == []
    assert next_deadline(sim.pool, sim.now) is None


def test_a_zygote_that_forks_slowly_has_few_orders_at_a_time() -> None:
    sim = Simulation(count=1000, zygotes_dawdle=True).start()
    sim.zygote_ready(1)
    while sim.orders:
        outstanding = len(sim.pool.workers) - len([each for each in sim.processes.values() if each.worker])
        assert outstanding == len(sim.orders) <= MAX_ORDERS
        sim.forks()
    assert [worker.slot for worker in sim.pool.workers.values()] == list(range(1, 1001))


def test_a_failing_first_worker_ends_the_server() -> None:
    sim = Simulation(count=2).start()
    sim.zygote_ready(1)
    sim.worker_gives_up(sim.booting()[0])
    sim.settle()
    assert sim.pool.finished
    assert sim.pool.exit_code == EXIT_BOOT_FAILED
    (note,) = sim.said("boot_failed")
    assert note.fields["error"] == "no such module"


def test_once_something_served_a_failing_worker_only_waits() -> None:
    sim = Simulation(count=2).start()
    sim.zygote_ready(1)
    first, second = sim.booting()
    sim.accepts(first)
    sim.worker_gives_up(second)
    sim.settle()
    assert sim.accepting() == {1: [1], 2: [1]}
    assert not sim.pool.finished


def test_a_worker_that_dies_is_replaced_at_once_then_later_and_later() -> None:
    sim = Simulation(count=1).boot()
    waits = []
    for _ in range(12):
        sim.advance(0)
        died_at = sim.now
        sim.dies(next(p.pid for p in sim.processes.values() if p.worker is not None))
        while not sim.booting():
            deadline = next_deadline(sim.pool, sim.now)
            assert deadline is not None
            sim.advance(deadline - sim.now)
        waits.append(round(sim.now - died_at, 3))
        sim.settle()
    assert waits == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]


def test_many_that_fail_in_the_same_way_are_told_once_a_round() -> None:
    sim = Simulation(count=6).boot()
    for pid in [p.pid for p in sim.processes.values() if p.worker is not None][1:]:
        sim.dies(pid)
    sim.notes.clear()

    def fail_all(why: str) -> list[tuple[str, object, object]]:
        for worker in sim.booting():
            sim.worker_gives_up(worker, why)
        deadline = next_deadline(sim.pool, sim.now)
        assert deadline is not None
        sim.advance(deadline - sim.now)
        notes, sim.notes = [note for note in sim.notes if note.event == "worker_exited"], []
        assert len(notes) == 5, "at least in the log of level debug"
        told = [note for note in notes if note.level == "error"]
        return [(note.traceback, note.fields["failures"], note.fields.get("alike")) for note in told]

    assert fail_all("no disk") == [("Traceback of no disk", 2, None)]
    assert fail_all("no disk") == [("", 3, 4)]
    assert fail_all("no network") == [("Traceback of no network", 4, None)]
    assert fail_all("no network") == [("", 5, 4)]
    sim.settle()
    sim.dies(next(p.pid for p in sim.processes.values() if p.worker is not None))
    sim.notes.clear()
    sim.worker_gives_up(sim.booting()[0], "no network")
    assert [note.level for note in sim.notes if note.event == "worker_exited"] == ["error"], (
        "one has served since"
    )


def test_a_worker_that_served_a_while_resets_the_back_off() -> None:
    sim = Simulation(count=1).boot()
    for _ in range(5):
        sim.dies(next(p.pid for p in sim.processes.values() if p.worker is not None))
        sim.advance(60)
        sim.settle()
    sim.advance(10)
    sim.dies(next(p.pid for p in sim.processes.values() if p.worker is not None))
    assert sim.booting()


def test_failures_with_good_times_between_are_not_in_a_row() -> None:
    sim = Simulation(count=1).boot()
    for _ in range(10):
        # A worker dies soon, the next one serves until it is replaced.
        sim.dies(next(p.pid for p in sim.processes.values() if p.worker is not None))
        sim.settle()
        sim.advance(3600)
        sim.happens(events.RecycleAsked(None))
        sim.settle()
    assert sim.pool.slots[1].failures == 0
    # A replacement that cannot be had fails more and more seldom, as long as nobody else comes up.
    sim.advance(3600)
    sim.happens(events.RecycleAsked(None))
    for expected in (1, 2, 3):
        sim.worker_gives_up(sim.booting()[0])
        assert sim.pool.slots[1].failures == expected
        sim.advance(sim.pool.slots[1].retry_at - sim.now)
    sim.settle()
    sim.advance(3600)
    sim.happens(events.RecycleAsked(None))
    sim.worker_gives_up(sim.booting()[0])
    assert sim.pool.slots[1].failures == 1


def test_a_worker_that_leaves_when_it_is_told_to_has_not_failed() -> None:
    sim = Simulation(count=1).boot()
    for _ in range(10):
        sim.dies(next(p.pid for p in sim.processes.values() if p.worker is not None))
        sim.settle()
        assert sim.accepting() == {1: [1]}, "it is replaced at once"
        sim.happens(events.RecycleAsked(None))
        sim.settle()


@pytest.mark.parametrize("way", ["reload", "rollback"])
def test_a_generation_does_not_wait_for_what_others_failed_at(way: str) -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.ReloadAsked())
    sim.settle()
    for _ in range(9):
        sim.advance(sim.pool.slots[1].retry_at - sim.now)
        sim.settle()
        sim.dies(next(sim.pid_of(each.id) for each in sim.pool.accepting(1)))
    assert sim.pool.slots[1].retry_at - sim.now > 10.0
    assert not sim.booting()
    sim.happens(events.ReloadAsked() if way == "reload" else events.RollbackAsked())
    sim.settle()
    assert sim.accepting() == {1: [sim.pool.active], 2: [sim.pool.active]}
    assert sim.pool.active == (3 if way == "reload" else 1)


def test_delays_are_bounded() -> None:
    assert slot_delay_s(10_000) == 30.0
    assert restart_delay_s(10_000) == 60.0


def test_a_reload_replaces_one_worker_after_the_other() -> None:
    sim = Simulation(count=3).boot()
    sim.happens(events.ReloadAsked())
    assert sim.accepting() == {1: [1], 2: [1], 3: [1]}
    sim.zygote_ready(2)
    for slot in (1, 2, 3):
        (replacement,) = sim.booting()
        assert sim.pool.workers[replacement].slot == slot
        assert all(sim.accepting()[each] for each in (1, 2, 3))
        sim.accepts(replacement)
    assert sim.pool.active == 2
    sim.settle()
    assert sim.accepting() == {1: [2], 2: [2], 3: [2]}
    assert sim.pool.generations.keys() == {1, 2}, "the one before is parked"


def test_the_old_worker_is_drained_only_when_the_new_one_accepts() -> None:
    sim = Simulation(count=1).boot()
    sim.happens(events.ReloadAsked())
    sim.zygote_ready(2)
    assert not [each for each in sim.done if isinstance(each, DrainWorker)]
    sim.accepts(sim.booting()[0])
    (drain,) = (each for each in sim.done if isinstance(each, DrainWorker))
    assert drain == DrainWorker(1, "reload")


def test_a_candidate_that_does_not_import_changes_nothing() -> None:
    sim = Simulation(count=2).boot()
    before = dict(sim.accepting())
    sim.happens(events.ReloadAsked())
    sim.happens(events.ZygoteGivesUp(2, Failure("import", "SyntaxError")))
    sim.dies(sim.zygote_of(2), code=3)
    assert sim.accepting() == before
    assert sim.pool.active == 1
    assert sim.pool.generations.keys() == {1}
    (note,) = sim.said("reload_failed")
    assert note.fields["error"] == "SyntaxError"


def test_a_candidate_that_fails_halfway_is_rolled_back_one_by_one() -> None:
    sim = Simulation(count=3).boot()
    sim.happens(events.ReloadAsked())
    sim.zygote_ready(2)
    sim.accepts(sim.booting()[0])
    assert sim.accepting() == {1: [2], 2: [1], 3: [1]}
    sim.worker_gives_up(sim.booting()[0])
    (refill,) = sim.booting()
    assert (sim.pool.workers[refill].slot, sim.pool.workers[refill].generation) == (1, 1)
    assert sim.accepting() == {1: [2], 2: [1], 3: [1]}
    sim.settle()
    assert sim.accepting() == {1: [1], 2: [1], 3: [1]}
    assert sim.pool.active == 1
    assert sim.pool.generations.keys() == {1}


def test_a_candidate_whose_workers_keep_dying_is_given_up() -> None:
    sim = Simulation(count=6).boot()
    sim.happens(events.ReloadAsked())
    sim.zygote_ready(2)
    for _ in range(3):
        new = next(each for each in sim.booting() if sim.pool.workers[each].generation == 2)
        sim.accepts(new)
        sim.dies(sim.pid_of(new), signal=11)
    (note,) = sim.said("reload_failed")
    assert note.fields["stage"] == "crash loop"
    sim.settle()
    sim.advance(5)
    sim.settle()
    assert sim.accepting() == {slot: [1] for slot in range(1, 7)}


def test_a_second_hup_is_remembered_once() -> None:
    sim = Simulation(count=1).boot()
    for _ in range(4):
        sim.happens(events.ReloadAsked())
    sim.settle()
    assert sim.accepting() == {1: [3]}


def test_settings_that_are_refused_start_nothing() -> None:
    sim = Simulation(count=1, refuse_reload=True).boot()
    sim.happens(events.ReloadAsked())
    assert len(sim.processes) == 2
    assert sim.said("reload_failed")
    assert plan(sim.pool, sim.now) == []


@pytest.mark.parametrize(("before", "after"), [(2, 4), (4, 2), (1, 3), (3, 1)])
def test_a_reload_with_another_count(before: int, after: int) -> None:
    sim = Simulation(count=before).boot()
    sim.count = after
    sim.happens(events.ReloadAsked())
    sim.settle()
    assert sim.accepting() == {slot: [2] for slot in range(1, after + 1)}


def test_a_count_set_by_hand_survives_a_reload_that_does_not_change_it() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.ScaleAsked(+2))
    sim.settle()
    sim.happens(events.ReloadAsked())
    sim.settle()
    assert sim.accepting() == {1: [2], 2: [2], 3: [2], 4: [2]}


def test_a_dead_zygote_is_replaced_by_a_generation_of_the_same_settings() -> None:
    sim = Simulation(count=2).boot()
    sim.dies(sim.zygote_of(1))
    assert sim.accepting() == {1: [1], 2: [1]}
    assert sim.pool.candidate == 2
    sim.settle()
    assert sim.accepting() == {1: [2], 2: [2]}


def test_a_zygote_that_cannot_be_replaced_is_tried_again_later_and_later() -> None:
    sim = Simulation(count=1).boot()
    sim.dies(sim.zygote_of(1))
    waits = []
    for generation in range(2, 10):
        failed_at = sim.now
        sim.dies(sim.zygote_of(generation), code=1)
        while sim.pool.candidate is None:
            deadline = next_deadline(sim.pool, sim.now)
            assert deadline is not None
            sim.advance(deadline - sim.now)
        waits.append(sim.now - failed_at)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert sim.accepting() == {1: [1]}


def test_an_empty_slot_is_filled_by_the_candidate_when_nobody_else_can() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.ReloadAsked())
    sim.dies(sim.zygote_of(1))
    sim.dies(sim.pid_of(1))
    sim.zygote_ready(2)
    spawned = [(w.slot, w.generation) for w in sim.pool.workers.values() if w.is_booting]
    assert (1, 2) in spawned
    sim.settle()
    assert sim.accepting() == {1: [2], 2: [2]}


def test_an_empty_slot_is_not_filled_by_a_candidate_that_proved_nothing() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.ReloadAsked())
    sim.zygote_ready(2)
    sim.dies(sim.pid_of(2))
    spawned = {(w.slot, w.generation) for w in sim.pool.workers.values() if w.is_booting}
    assert (2, 1) in spawned


def test_a_graceful_stop_drains_and_a_second_request_does_not_wait() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.StopAsked(fast=False, by="SIGTERM"))
    assert {w.phase for w in sim.pool.workers.values()} == {Phase.DRAINING}
    sim.advance(LIMITS.drain_timeout_s / 2)
    sim.happens(events.StopAsked(fast=False, by="SIGTERM"))
    assert len([each for each in sim.done if isinstance(each, StopWorker)]) == 2
    sim.advance(1.0)
    sim.settle()
    assert sim.pool.finished
    assert sim.pool.exit_code == 0


def test_a_stop_waits_no_longer_than_the_drain_timeout() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.StopAsked(fast=False, by="SIGTERM"))
    sim.advance(LIMITS.drain_timeout_s)
    assert not sim.pool.workers
    killed = [note.fields["killed"] for note in sim.said("worker_exited")]
    assert killed == ["still busy after drain_timeout = 30s"] * 2


def test_a_stop_ends_whoever_is_still_booting() -> None:
    sim = Simulation(count=2).start()
    sim.zygote_ready(1)
    sim.happens(events.StopAsked(fast=False, by="SIGTERM"))
    assert len([each for each in sim.done if isinstance(each, TerminateWorker)]) == 2
    sim.advance(10)
    sim.settle()
    assert sim.pool.finished
    assert sim.pool.exit_code == 0


def test_the_zygote_outlives_its_workers() -> None:
    sim = Simulation(count=1).boot()
    sim.happens(events.StopAsked(fast=False, by="SIGTERM"))
    assert not sim.processes[sim.zygote_of(1)].told
    sim.dies(sim.pid_of(1), code=0)
    assert sim.processes[sim.zygote_of(1)].told == "exit"


def test_pause_and_resume() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.PauseAsked())
    sim.settle()
    assert sim.accepting() == {}
    sim.happens(events.ScaleAsked(+1))
    sim.settle()
    assert sim.accepting() == {1: [1], 2: [1]}


def test_one_worker_is_the_least() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.ScaleAsked(-5))
    sim.settle()
    assert sim.accepting() == {1: [1]}


def test_a_worker_that_does_not_become_ready_is_asked_for_its_stacks_then_killed() -> None:
    sim = Simulation(count=1).start()
    sim.zygote_ready(1)
    sim.advance(LIMITS.boot_timeout_s)
    assert [w.phase for w in sim.pool.workers.values()] == [Phase.HUNG]
    sim.advance(1)
    assert sim.pool.exit_code == EXIT_BOOT_FAILED
    (note,) = sim.said("boot_failed")
    assert note.fields["error"] == "the worker was not ready after boot_timeout = 60s"


def test_a_zygote_that_hangs_is_killed_and_the_old_one_stays() -> None:
    sim = Simulation(count=1).boot()
    sim.happens(events.ReloadAsked())
    sim.advance(LIMITS.boot_timeout_s + 1)
    (note,) = sim.said("reload_failed")
    assert note.fields["error"] == "the zygote was not ready after boot_timeout = 60s"
    assert sim.accepting() == {1: [1]}


def test_a_machine_that_slept_kills_nobody() -> None:
    sim = Simulation(count=1).boot()
    sim.happens(events.StopAsked(fast=False, by="SIGTERM"))
    sim.now += 3600
    sim.happens(events.ClockJumped(3600))
    assert [w.phase for w in sim.pool.workers.values()] == [Phase.DRAINING]


def test_a_worker_marked_for_replacement_is_replaced_like_an_outdated_one() -> None:
    sim = Simulation(count=2).boot()
    sim.pool.workers[1].replace = "max_requests"
    sim.run_plan()
    (replacement,) = sim.booting()
    assert sim.accepting() == {1: [1], 2: [1]}
    sim.accepts(replacement)
    assert DrainWorker(1, "max_requests") in sim.done


def test_two_recycles_happen_one_after_the_other() -> None:
    sim = Simulation(count=3).boot()
    for worker in sim.pool.workers.values():
        worker.replace = "max_lifetime"
    sim.run_plan()
    assert len(sim.booting()) == 1


def test_a_worker_whose_zygote_died_before_the_fork_is_no_crash_of_its_own() -> None:
    sim = Simulation(count=1).boot()
    sim.dies(sim.pid_of(1))
    (replacement,) = sim.booting()
    sim.pool.workers[replacement].pid = None
    sim.happens(events.WorkerChannelEnded(replacement))
    assert replacement not in sim.pool.workers


def test_strangers_change_nothing() -> None:
    sim = Simulation(count=1).boot()
    sim.processes[7] = sim.processes[sim.pid_of(1)]
    sim.dies(7, code=0)
    assert sim.accepting() == {1: [1]}
    assert sim.said("stranger_reaped")


def test_a_worker_whose_channel_ends_is_replaced_when_it_has_exited() -> None:
    sim = Simulation(count=1).boot()
    sim.happens(events.WorkerChannelEnded(1))
    assert sim.booting() == []
    sim.dies(sim.pid_of(1), signal=11)
    assert len(sim.booting()) == 1


def test_a_worker_that_lives_on_without_its_channel_is_killed() -> None:
    sim = Simulation(count=1).boot()
    sim.happens(events.WorkerChannelEnded(1))
    sim.advance(5)
    assert len([each for each in sim.done if isinstance(each, SpawnWorker)]) == 2


def test_workers_of_a_failed_candidate_that_do_not_serve_yet_are_ended() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.ReloadAsked())
    sim.zygote_ready(2)
    (replacement,) = sim.booting()
    sim.dies(sim.zygote_of(2))
    assert TerminateWorker(replacement, "its generation failed") in sim.done


def test_a_success_resets_the_back_off_of_restarts() -> None:
    sim = Simulation(count=1).boot()
    sim.dies(sim.zygote_of(1))
    for generation in (2, 3, 4):
        sim.dies(sim.zygote_of(generation), code=1)
        sim.advance(60)
    sim.settle()
    assert sim.accepting() == {1: [5]}
    sim.dies(sim.zygote_of(5))
    failed_at = sim.now
    sim.dies(sim.zygote_of(6), code=1)
    assert sim.pool.restart_at == failed_at + 1


def test_a_candidate_is_not_committed_while_the_pool_is_paused() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.ReloadAsked())
    sim.zygote_ready(2)
    sim.accepts(sim.booting()[0])
    sim.happens(events.PauseAsked())
    sim.settle()
    assert sim.pool.active == 1
    sim.happens(events.ScaleAsked(+1))
    sim.settle()
    assert sim.pool.active == 2
    assert sim.accepting() == {1: [2], 2: [2]}
