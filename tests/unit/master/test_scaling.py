"""The pool follows the load: simulated traces, without processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec.structs
import pytest

from prefork.master import events, scaling
from prefork.master.actions import MeasureLoad
from prefork.master.plan import next_deadline
from prefork.master.scaling import SAMPLE_S, Sample, decide
from prefork.master.state import Load
from unit.master.simulation import LIMITS, Simulation

BOUNDS = (2, 8)
BOOT_S = 0.4


class Trace:
    """A pool of workers that boot in BOOT_S, under `demand` concurrent requests."""

    def __init__(self, bounds: tuple[int, int] = BOUNDS) -> None:
        self.bounds = bounds
        self.load = Load()
        self.target = bounds[0]
        self.workers = bounds[0]
        self.starting: list[float] = []
        self.now = 1000.0
        self.targets: list[int] = []

    def run(self, seconds: float, demand: Callable[[float], float]) -> None:
        for _ in range(round(seconds / SAMPLE_S)):
            self.now += SAMPLE_S
            ready = [at for at in self.starting if at <= self.now]
            self.starting = [at for at in self.starting if at > self.now]
            self.workers += len(ready)
            wanted = demand(self.now)
            busy = min(wanted, self.workers)
            sample = Sample(busy, self.workers, len(self.starting), round(wanted - busy))
            self.target = decide(self.load, self.bounds, self.target, sample, self.now)
            self.targets.append(self.target)
            missing = self.target - self.workers - len(self.starting)
            self.starting += [self.now + BOOT_S] * max(0, missing)
            self.workers = min(self.workers, self.target)


def changes(targets: list[int]) -> int:
    return sum(a != b for a, b in itertools.pairwise(targets))


def test_an_idle_pool_stays_as_small_as_allowed() -> None:
    trace = Trace()
    trace.run(60, lambda now: 0)
    assert set(trace.targets) == {2}


def test_a_burst_brings_all_workers_within_seconds() -> None:
    trace = Trace()
    trace.run(3, lambda now: 20)
    assert trace.workers == 8
    assert max(trace.targets) == 8


def test_one_is_kept_free_for_who_comes_next() -> None:
    trace = Trace()
    trace.run(60, lambda now: 4)
    assert trace.targets[-1] == 5


def test_after_the_burst_workers_go_one_by_one_and_not_at_once() -> None:
    trace = Trace()
    trace.run(5, lambda now: 20)
    end = trace.now
    trace.run(5, lambda now: 0)
    assert trace.target == 8, "calm is not the first quiet moment"
    trace.run(60, lambda now: 0)
    assert trace.target == 2
    assert all(b - a in (0, -1) for a, b in itertools.pairwise(trace.targets[30:]))
    assert trace.now > end


def test_a_single_sample_changes_nothing() -> None:
    trace = Trace()
    trace.run(60, lambda now: 9 if round(now / SAMPLE_S) % 10 == 0 else 0)
    assert set(trace.targets) == {2}


@pytest.mark.parametrize("period_s", [1.0, 4.0, 15.0, 30.0, 40.0])
def test_a_load_that_comes_and_goes_does_not_make_the_pool_flap(period_s: float) -> None:
    trace = Trace()

    def wave(now: float) -> float:
        return 6.0 if now % period_s < period_s / 2 else 0.0

    trace.run(600, wave)
    settled = trace.targets[len(trace.targets) // 2 :]
    # Half of the time has gone into learning patience; from then on it hardly moves.
    assert changes(settled) <= 24


def test_patience_is_what_it_was_after_a_quiet_time() -> None:
    load = Load(patience_s=160.0, grown_at=0.0)
    decide(load, BOUNDS, 2, Sample(0, 2, 0, 0), 1000.0)
    assert load.patience_s == scaling.PATIENCE_S


def test_workers_on_their_way_count_as_free() -> None:
    load = Load()
    for second in range(10):
        assert decide(load, BOUNDS, 3, Sample(2, 2, 1, 5), 1000.0 + second) == 3


def test_never_more_than_the_most_or_fewer_than_the_least() -> None:
    trace = Trace((1, 3))
    trace.run(20, lambda now: 100)
    trace.run(100, lambda now: 0)
    assert max(trace.targets) == 3
    assert min(trace.targets) == 1


def make(low: int, high: int, count: int | None = None) -> Simulation:
    limits = msgspec.structs.replace(LIMITS, bounds=(low, high))
    return Simulation(count=count or max(1, low), limits=limits).boot()


def sampled(sim: Simulation) -> int:
    return len([each for each in sim.done if isinstance(each, MeasureLoad)])


def quiet(sim: Simulation, seconds: float) -> None:
    end = sim.now + seconds
    while sim.now < end:
        before = sampled(sim)
        sim.advance(SAMPLE_S)
        if sampled(sim) > before:
            sim.happens(events.LoadMeasured(0.0, 0))
        sim.settle()


def test_a_pool_at_rest_has_no_timer() -> None:
    sim = make(2, 4)
    quiet(sim, 20)
    assert sim.pool.load.resting
    assert next_deadline(sim.pool, sim.now) is None
    sim.happens(events.ConnectionWaits())
    assert next_deadline(sim.pool, sim.now) is not None


def test_a_pool_nobody_needs_has_no_workers_and_the_first_connection_starts_one() -> None:
    sim = make(0, 4)
    assert sim.accepting() == {1: [1]}
    quiet(sim, 30)
    assert sim.accepting() == {}
    assert sim.pool.load.resting
    assert next_deadline(sim.pool, sim.now) is None
    sim.happens(events.ConnectionWaits())
    assert len(sim.booting()) == 1
    sim.settle()
    assert sim.accepting() == {1: [1]}


def test_a_reload_of_a_pool_without_workers_is_proved_by_one() -> None:
    sim = make(0, 4)
    quiet(sim, 30)
    sim.happens(events.ReloadAsked())
    sim.settle()
    assert sim.pool.active == 2
    assert sim.accepting() == {1: [2]}
    quiet(sim, 40)
    assert sim.accepting() == {}


def test_a_load_starts_workers_and_its_end_lets_them_go() -> None:
    sim = make(1, 4)
    for _ in range(30):
        sim.advance(SAMPLE_S)
        sim.happens(events.LoadMeasured(float(len(sim.accepting())), 3))
        sim.settle()
    assert len(sim.accepting()) == 4
    quiet(sim, 60)
    assert sim.accepting() == {1: [1]}


def test_by_hand_within_the_range() -> None:
    sim = make(2, 4)
    sim.happens(events.ScaleAsked(+10))
    sim.settle()
    assert len(sim.accepting()) == 4
    sim.happens(events.ScaleAsked(+1))
    assert "range from 2 to 4" in str(sim.said("not_scaled")[-1].fields["hint"])


def test_a_reload_brings_another_range() -> None:
    sim = make(2, 4)
    sim.limits = msgspec.structs.replace(LIMITS, bounds=(3, 6))
    sim.count = 3
    sim.happens(events.ReloadAsked())
    sim.settle()
    assert len(sim.accepting()) == 3
    sim.limits, sim.count = LIMITS, 1
    sim.happens(events.ReloadAsked())
    sim.settle()
    assert sim.accepting() == {1: [sim.pool.active]}


# which worker goes --------------------------------------------------------------------------------------------------


def shrunk(sim: Simulation, idlest: int | None, to: int) -> None:
    while sim.pool.target > to:
        sim.advance(SAMPLE_S)
        sim.happens(events.LoadMeasured(0.0, 0, idlest if idlest in sim.accepting() else None))
        sim.settle()


def test_the_worker_that_was_idle_longest_goes_and_nobody_else_moves() -> None:
    sim = make(1, 4, count=4)
    ids = {worker.slot: worker.id for worker in sim.pool.workers.values()}
    shrunk(sim, idlest=2, to=3)
    assert sim.accepting() == {1: [1], 3: [1], 4: [1]}
    assert all(worker.id == ids[worker.slot] for worker in sim.pool.workers.values())


def test_with_nobody_idle_the_last_one_goes() -> None:
    sim = make(1, 4, count=4)
    shrunk(sim, idlest=None, to=3)
    assert sim.accepting() == {1: [1], 2: [1], 3: [1]}
    assert sim.pool.vacant == []


def test_growing_fills_the_free_numbers_first() -> None:
    sim = make(1, 6, count=4)
    shrunk(sim, idlest=2, to=3)
    shrunk(sim, idlest=1, to=2)
    assert sim.accepting() == {3: [1], 4: [1]}
    sim.happens(events.ScaleAsked(+1))
    sim.settle()
    assert sim.accepting() == {1: [1], 3: [1], 4: [1]}
    sim.happens(events.ScaleAsked(+2))
    sim.settle()
    assert sim.accepting() == {slot: [1] for slot in range(1, 6)}


def test_a_reload_keeps_the_numbers() -> None:
    sim = make(1, 4, count=4)
    shrunk(sim, idlest=1, to=2)
    before = sorted(sim.accepting())
    sim.happens(events.ReloadAsked())
    sim.settle()
    assert sim.accepting() == {slot: [2] for slot in before}


def test_an_upgrade_knows_which_numbers_are_free() -> None:
    sim = make(1, 4, count=4)
    shrunk(sim, idlest=2, to=3)
    sim.happens(events.UpgradeAsked(by="test"))
    sim.settle()
    assert sorted(sim.accepting()) == [1, 3, 4]


@pytest.mark.parametrize("bounds", [None, (1, 9)])
def test_two_who_ask_for_the_same_number_do_not_add_up(bounds: tuple[int, int] | None) -> None:
    sim = Simulation(count=2, limits=msgspec.structs.replace(LIMITS, bounds=bounds)).boot()
    sim.happens(events.ScaleTo(5))
    sim.happens(events.ScaleTo(5))
    assert sim.pool.target == 5
    sim.happens(events.ScaleTo(1))
    sim.settle()
    assert sim.accepting() == {1: [1]}
    assert [note.fields["by"] for note in sim.said("scaled")] == ["+3", "-4"]


def test_a_number_ends_a_pause() -> None:
    sim = Simulation(count=2).boot()
    sim.happens(events.PauseAsked())
    sim.settle()
    sim.happens(events.ScaleTo(3))
    sim.settle()
    assert len(sim.accepting()) == 3
