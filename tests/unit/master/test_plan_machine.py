"""The plan under any sequence of events that hypothesis can think of."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from prefork.master import events
from prefork.master.actions import Commit
from prefork.master.plan import next_deadline, plan
from prefork.master.state import Failure, GenerationPhase, Phase, Stop, ZygotePhase
from unit.master.simulation import LIMITS, Simulation

picks = st.integers(min_value=0, max_value=1_000)


class PoolMachine(RuleBasedStateMachine):
    """Processes come up, obey, hang, give up or die; people ask for everything; time passes or jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.sim = Simulation(count=3).start()

    # -- processes -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.sim.processes)
    @rule(pick=picks)
    def obey(self, pick: int) -> None:
        pids = sorted(self.sim.processes)
        self.sim.obey(pids[pick % len(pids)])

    @precondition(lambda self: self.sim.processes)
    @rule(pick=picks, exit=st.sampled_from([(None, 9), (None, 11), (1, None), (0, None)]))
    def die(self, pick: int, exit: tuple[int | None, int | None]) -> None:
        pids = sorted(self.sim.processes)
        self.sim.dies(pids[pick % len(pids)], code=exit[0], signal=exit[1])

    @precondition(lambda self: self.sim.booting())
    @rule(pick=picks)
    def worker_gives_up(self, pick: int) -> None:
        booting = self.sim.booting()
        self.sim.worker_gives_up(booting[pick % len(booting)])

    @precondition(lambda self: self.sim.pool.workers)
    @rule(pick=picks)
    def channel_ends(self, pick: int) -> None:
        workers = sorted(self.sim.pool.workers)
        self.sim.happens(events.WorkerChannelEnded(workers[pick % len(workers)]))

    @precondition(lambda self: self.sim.pool.candidate is not None)
    @rule()
    def zygote_gives_up(self) -> None:
        candidate = self.sim.pool.candidate
        assert candidate is not None
        zygote = self.sim.pool.generations[candidate].zygote
        if zygote in (ZygotePhase.BOOTING, ZygotePhase.HUNG):
            self.sim.happens(events.ZygoteGivesUp(candidate, Failure("import", "broken")))

    @rule()
    def settle(self) -> None:
        self.sim.settle()

    # -- people ----------------------------------------------------------------------------------------------

    @rule(refused=st.booleans())
    def reload(self, refused: bool) -> None:
        self.sim.refuse_reload = refused
        self.sim.happens(events.ReloadAsked())

    @rule(refused=st.booleans())
    def roll_back(self, refused: bool) -> None:
        self.sim.refuse_rollback = refused
        self.sim.happens(events.RollbackAsked())

    @rule(count=st.integers(min_value=1, max_value=5))
    def change_count(self, count: int) -> None:
        self.sim.count = count

    @rule(by=st.sampled_from([-2, -1, 1, 2]))
    def scale(self, by: int) -> None:
        if self.sim.pool.target + by <= 8:
            self.sim.happens(events.ScaleAsked(by))

    @rule(count=st.integers(min_value=1, max_value=6))
    def scale_to(self, count: int) -> None:
        before = self._commits
        self.sim.happens(events.ScaleTo(count))
        # With fewer slots to take over a reload may be complete at once; then the number of workers is what its settings say.
        assert self.sim.pool.is_leaving or self.sim.pool.target == count or self._commits > before

    @property
    def _commits(self) -> int:
        return sum(isinstance(each, Commit) for each in self.sim.done)

    @rule(pick=picks)
    def the_load_empties_a_slot(self, pick: int) -> None:
        pool = self.sim.pool
        if pool.target > 1 and pool.stop is Stop.NO and pool.wanted_slots:
            slots, target, before = pool.wanted_slots, pool.target, self._commits
            pool.vacate(slots[pick % len(slots)])
            self.sim.run_plan()
            if self._commits == before:
                assert pool.target == target - 1
                assert set(pool.wanted_slots) < set(slots), "nobody else moves"

    @rule(delay_s=st.sampled_from([None, 0.0, 5.0]))
    def drain(self, delay_s: float | None) -> None:
        self.sim.happens(events.DrainAsked(delay_s, by="test"))

    @rule()
    def resume(self) -> None:
        self.sim.happens(events.ResumeAsked())

    @rule()
    def pause(self) -> None:
        self.sim.happens(events.PauseAsked())

    @rule()
    def upgrade(self) -> None:
        self.sim.happens(events.UpgradeAsked(by="test"))

    @precondition(lambda self: self.sim.pool.trial is not None)
    @rule(code=st.sampled_from([0, 3]))
    def trial_ends(self, code: int) -> None:
        pid = next(p.pid for p in self.sim.processes.values() if p.trial)
        self.sim.dies(pid, code=code)

    @precondition(lambda self: self.sim.pool.workers)
    @rule(pick=picks)
    def has_served_enough(self, pick: int) -> None:
        workers = sorted(self.sim.pool.workers)
        self.sim.happens(events.WorkerWantsLeave(workers[pick % len(workers)], "max_requests"))

    @precondition(lambda self: len(self.sim.done) > 30)
    @rule(fast=st.booleans(), delay_s=st.sampled_from([None, 0.0, 5.0]))
    def stop(self, fast: bool, delay_s: float | None) -> None:
        self.sim.happens(events.StopAsked(fast=fast, by="test", delay_s=delay_s))

    @precondition(lambda self: self.sim.pool.workers)
    @rule(pick=picks)
    def mark_for_replacement(self, pick: int) -> None:
        workers = sorted(self.sim.pool.workers)
        self.sim.pool.workers[workers[pick % len(workers)]].replace = "recycle"
        self.sim.run_plan()

    # -- time ------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.05, 0.5, 3.0, 20.0, 90.0]))
    def time_passes(self, seconds: float) -> None:
        self.sim.advance(seconds)

    @rule(seconds=st.sampled_from([10.0, 100_000.0]))
    def clock_jumps(self, seconds: float) -> None:
        self.sim.now += seconds
        self.sim.happens(events.ClockJumped(seconds))

    # -- what holds at any time ------------------------------------------------------------------------------

    @invariant()
    def a_plan_carried_out_is_over(self) -> None:
        assert plan(self.sim.pool, self.sim.now) == []

    @invariant()
    def every_slot_has_at_most_one_worker_on_its_way(self) -> None:
        slots = [self.sim.pool.workers[worker].slot for worker in self.sim.booting()]
        assert len(slots) == len(set(slots))

    @invariant()
    def the_books_are_right(self) -> None:
        pool = self.sim.pool
        assert {w.generation for w in pool.workers.values()} <= pool.generations.keys()
        active = [g.number for g in pool.generations.values() if g.phase is GenerationPhase.ACTIVE]
        assert active == ([] if pool.active is None else [pool.active])
        assert [g.phase for g in pool.generations.values()].count(GenerationPhase.PARKED) <= 1
        assert not pool.rollback_wanted, "a rollback is begun or refused at once"
        assert {w.pid for w in pool.workers.values()} <= self.sim.processes.keys()

    @invariant()
    def an_upgrade_is_one_thing_at_a_time(self) -> None:
        trials = [process for process in self.sim.processes.values() if process.trial]
        assert [each.pid for each in trials] == ([self.sim.pool.trial.pid] if self.sim.pool.trial else [])

    @invariant()
    def only_one_worker_is_recycled_at_a_time(self) -> None:
        """But for those a reload takes away as well, and those that hang."""
        pool = self.sim.pool
        leaving = [
            worker
            for worker in pool.workers.values()
            if worker.phase is Phase.DRAINING and worker.reason == "max_requests"
        ]
        if len(pool.generations) == 1 and pool.stop is Stop.NO:
            assert len(leaving) <= 1

    @invariant()
    def back_off_is_bounded_and_in_order(self) -> None:
        for slot in self.sim.pool.slots.values():
            assert slot.retry_at <= self.sim.now + 30.0

    @invariant()
    def only_a_first_generation_that_never_served_ends_the_server(self) -> None:
        if self.sim.pool.exit_code:
            assert not self.sim.said("worker_ready")

    @invariant()
    def an_empty_slot_waits_for_something(self) -> None:
        """Every slot serves, boots, backs off, or there is no zygote to fork from (and one is being made or waited for)."""
        pool = self.sim.pool
        if pool.stop is not Stop.NO:
            return
        for number in pool.wanted_slots:
            phases = {worker.phase for worker in pool.in_slot(number)}
            if phases & {Phase.ACCEPTING, Phase.BOOTING, Phase.HUNG, Phase.LOST}:
                continue
            slot = pool.slots.get(number)
            backs_off = slot is not None and slot.retry_at > self.sim.now
            no_zygote = not any(g.can_fork for g in (pool.active_generation, pool.candidate_generation) if g)
            assert backs_off or no_zygote
            if no_zygote:
                # A zygote that leaves, or a start that waits, has a deadline; a candidate has one as well.
                assert next_deadline(pool, self.sim.now) is not None

    # -- the end ---------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not self.sim.pool.is_leaving:
            self._heals()
        self._ends()

    def _heals(self) -> None:
        """Left alone, with everybody well, the pool is what it should be."""
        self.sim.refuse_reload = False
        for _ in range(12):
            self.sim.settle()
            self.sim.advance(61)
        pool = self.sim.pool
        if pool.stop is not Stop.NO:
            return
        assert pool.candidate is None or pool.paused
        if not pool.paused:
            assert self.sim.accepting() == {slot: [pool.active] for slot in pool.wanted_slots}
            assert pool.generations.keys() == {pool.active}, "a parked one is given up in the end"
            assert not any(worker.replace for worker in pool.workers.values())

    def _ends(self) -> None:
        """Told to stop, with nobody obeying, it ends all the same."""
        self.sim.happens(events.StopAsked(fast=False, by="test"))
        self.sim.advance(2 * LIMITS.drain_timeout_s + 20)
        assert self.sim.pool.finished
        assert not self.sim.processes
        assert not self.sim.pool.workers


PoolMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestPool = PoolMachine.TestCase
