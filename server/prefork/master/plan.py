"""What to do now: the difference between what is and what should be.

Owns: every decision of the supervision. Runs in: master. Pure: the same pool and time give the same plan, nothing is
changed. Must not know: how anything is carried out.

The rule is that of a rolling deployment: every wanted slot holds one accepting worker of the desired generation. An empty
slot is filled; an outdated worker is drained when its replacement in the same slot accepts; only one replacement at a
time (a surge of one bounds the memory); what is too much is drained. Whatever takes too long is ended.

It is level-triggered: a plan is made from the state alone, so a lost or repeated event cannot leave the pool halfway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prefork.master import draining, recycling, scaling, upgrading
from prefork.master.actions import (
    Abort,
    Action,
    BeginReload,
    BeginRestart,
    BeginRollback,
    CheckQueue,
    Commit,
    DrainWorker,
    DumpWorker,
    DumpZygote,
    EndDrain,
    ExecuteProgram,
    ExitZygote,
    Finish,
    Forget,
    KillTrial,
    KillWorker,
    KillZygote,
    MeasureLoad,
    MeasureMemory,
    RecycleWorker,
    Retire,
    SpawnWorker,
    StopWorker,
    TerminateWorker,
    TryUpgrade,
)
from prefork.master.state import (
    BySlot,
    Generation,
    GenerationPhase,
    Phase,
    Pool,
    Slot,
    Stop,
    Worker,
    ZygotePhase,
)

MAX_ORDERS = 64
"""Most workers that a zygote is asked for and has not forked yet. Orders wait in a socket, whose queue holds some 270."""

_WORKER_TIMED = (Phase.BOOTING, Phase.HUNG, Phase.DRAINING, Phase.STOPPING, Phase.LOST)
_ZYGOTE_TIMED = (ZygotePhase.BOOTING, ZygotePhase.HUNG, ZygotePhase.LEAVING)


def plan(pool: Pool, now: float) -> list[Action]:
    """The actions that are due. To be repeated, each recorded, until there are none."""
    overdue = [*_overdue_workers(pool, now), *_overdue_zygotes(pool, now)]
    if overdue:
        # First: they change what the rest depends on.
        return overdue
    if pool.stop is Stop.NO and draining.due(pool, now):
        # What follows may be the stop, which changes everything else.
        return [EndDrain()]
    if pool.stop is not Stop.NO:
        stopping = [*_stopping(pool), *_end_trial(pool)]
        # What is decided first may need what comes after.
        return stopping or [*_ending_zygotes(pool), *_finish(pool)]
    accepting = pool.accepting_by_slot()
    return [
        *_generations(pool, accepting, now),
        *_failed_workers(pool),
        *_recycle(pool, now),
        *_scale(pool, now),
        *_fill_slots(pool, accepting, now),
        *_retire_workers(pool, accepting),
        *_ending_zygotes(pool),
        *_upgrade(pool, now),
    ]


def next_deadline(pool: Pool, now: float) -> float | None:
    """The next time at which the plan changes although nothing happens; None if it never does."""
    times = [worker.deadline for worker in pool.workers.values() if worker.phase in _WORKER_TIMED]
    times += [each.deadline for each in pool.generations.values() if each.zygote in _ZYGOTE_TIMED]
    if pool.stop is Stop.NO:
        times += [slot.retry_at for slot in pool.slots.values()]
        times.append(pool.restart_at)
        times += draining.deadlines(pool)
        times += recycling.deadlines(pool)
        times += upgrading.deadlines(pool)
        times += scaling.deadlines(pool)
        if pool.parked_generation is not None:
            times.append(pool.parked_generation.parked_until)
    return min((time for time in times if time > now), default=None)


# what takes too long ------------------------------------------------------------------------------------------------


def _overdue_workers(pool: Pool, now: float) -> Iterator[Action]:
    for worker in pool.workers.values():
        if worker.doomed and worker.phase not in (Phase.BOOTING, Phase.KILLED, Phase.LOST):
            yield KillWorker(worker.id, worker.doomed)
            continue
        if worker.phase not in _WORKER_TIMED or now < worker.deadline:
            continue
        limits = pool.generations[worker.generation].limits
        if worker.phase is Phase.BOOTING and worker.pid is not None:
            yield DumpWorker(worker.id)
        elif worker.is_booting:
            yield KillWorker(worker.id, f"not ready after boot_timeout = {limits.boot_timeout_s:g}s")
        elif worker.phase is Phase.DRAINING:
            yield KillWorker(worker.id, f"still busy after drain_timeout = {limits.drain_timeout_s:g}s")
        elif worker.phase is Phase.STOPPING:
            yield KillWorker(worker.id, "still busy at the end of a fast stop")
        else:
            yield KillWorker(worker.id, "it closed its channel to the master and did not exit")


def _overdue_zygotes(pool: Pool, now: float) -> Iterator[Action]:
    for generation in pool.generations.values():
        if generation.zygote not in _ZYGOTE_TIMED or now < generation.deadline:
            continue
        if generation.zygote is ZygotePhase.BOOTING:
            yield DumpZygote(generation.number)
        elif generation.zygote is ZygotePhase.HUNG:
            timeout_s = generation.limits.boot_timeout_s
            yield KillZygote(generation.number, f"not ready after boot_timeout = {timeout_s:g}s")
        else:
            yield KillZygote(generation.number, "it did not leave when told to")


# the end ------------------------------------------------------------------------------------------------------------


def _stopping(pool: Pool) -> Iterator[Action]:
    """Those who serve finish what they have; those who do not serve yet need not begin."""
    if pool.stop is Stop.GRACEFUL and _nobody_accepts(pool):
        yield from _last_call(pool)
    for worker in pool.workers.values():
        if worker.is_booting:
            if pool.stop is Stop.FAST or worker.id != pool.last_worker:
                yield TerminateWorker(worker.id, "stop")
        elif pool.stop is Stop.GRACEFUL and worker.phase is Phase.ACCEPTING:
            yield DrainWorker(worker.id, "stop")
        elif pool.stop is Stop.FAST and worker.phase in (Phase.ACCEPTING, Phase.DRAINING):
            yield StopWorker(worker.id, "stop")


def _nobody_accepts(pool: Pool) -> bool:
    """Nobody empties the queue: the pool was paused, at rest, or its workers had died."""
    return not any(
        worker.phase is Phase.ACCEPTING or (worker.reason == "stop" and worker.ready_at is not None)
        for worker in pool.workers.values()
    )


def _last_call(pool: Pool) -> Iterator[Action]:
    """Those who wait are answered by one more worker. It is tried once."""
    active = pool.active_generation
    if active is None or not active.can_fork or pool.last_worker is not None:
        return
    if not pool.queue_checked:
        yield CheckQueue()
    elif pool.last_wanted:
        yield SpawnWorker(pool.next_worker_id, 1, active.number)


def _end_trial(pool: Pool) -> Iterator[Action]:
    if pool.trial is not None and not pool.trial.killed:
        yield KillTrial("the server stops")


def _finish(pool: Pool) -> Iterator[Action]:
    zygotes_gone = all(each.zygote is ZygotePhase.GONE for each in pool.generations.values())
    if zygotes_gone and not pool.workers and pool.trial is None and not pool.finished:
        yield Finish()


# generations --------------------------------------------------------------------------------------------------------


def _generations(pool: Pool, accepting: BySlot, now: float) -> Iterator[Action]:
    for generation in pool.generations.values():
        if generation.phase is GenerationPhase.FAILED and not generation.aborted:
            yield Abort(generation.number)
    candidate, parked = pool.candidate_generation, pool.parked_generation
    over = parked is not None and now >= parked.parked_until and not pool.rollback_wanted
    if parked is not None and (over or not parked.can_fork):
        yield Retire(parked.number)
        parked = None
    if candidate is not None:
        if _has_taken_over(pool, candidate, accepting):
            yield Commit(candidate.number)
    elif pool.rollback_wanted and parked is not None:
        yield BeginRollback(parked.number)
    elif pool.reload_wanted:
        yield BeginReload()
    elif pool.active_generation is not None:
        gone = pool.active_generation.zygote is ZygotePhase.GONE
        if gone and now >= pool.restart_at:
            yield BeginRestart()


def _has_taken_over(pool: Pool, candidate: Generation, accepting: BySlot) -> bool:
    """Whether nothing can go wrong any more: it holds every slot it has to take over, alone."""
    if not candidate.proven or candidate.phase is not GenerationPhase.READY or pool.paused:
        return False
    holders = ({worker.generation for worker in accepting[slot]} for slot in pool.rolled_slots)
    return all(generations == {candidate.number} for generations in holders)


def _ending_zygotes(pool: Pool) -> Iterator[Action]:
    """A zygote outlives its workers: files it made at import (and removes at its exit) are theirs too."""
    for generation in pool.generations.values():
        stopping = pool.stop is not Stop.NO
        if not stopping and generation.phase not in (GenerationPhase.RETIRED, GenerationPhase.FAILED):
            continue
        if generation.zygote in (ZygotePhase.BOOTING, ZygotePhase.HUNG):
            # It is inside the application's import and reads no messages.
            yield KillZygote(generation.number, "the server stops" if stopping else "its generation failed")
        elif not any(pool.of_generation(generation.number)):
            if generation.zygote is ZygotePhase.READY:
                yield ExitZygote(generation.number)
            elif generation.zygote is ZygotePhase.GONE and not stopping:
                yield Forget(generation.number)


# workers ------------------------------------------------------------------------------------------------------------


def _failed_workers(pool: Pool) -> Iterator[Action]:
    """Workers that do not serve yet, and never will."""
    for worker in pool.workers.values():
        failed = pool.generations[worker.generation].phase is GenerationPhase.FAILED
        if failed and worker.is_booting:
            yield TerminateWorker(worker.id, "its generation failed")
        elif worker.outdated and worker.is_booting and worker.pid is not None:
            yield TerminateWorker(worker.id, "its code changed")


def _upgrade(pool: Pool, now: float) -> Iterator[Action]:
    """Last in a plan: after the exec, nothing that was decided before it is carried out."""
    trial = pool.trial
    if trial is not None:
        if now >= trial.deadline and not trial.killed:
            yield KillTrial("the new program took too long to say whether it could take over")
    elif upgrading.may_begin(pool):
        yield TryUpgrade()
    elif upgrading.may_execute(pool):
        yield ExecuteProgram()


def _recycle(pool: Pool, now: float) -> Iterator[Action]:
    if recycling.measures(pool) and now >= pool.measure_at:
        yield MeasureMemory()
    for worker in recycling.due(pool, now):
        yield RecycleWorker(worker.id, worker.recycle_why)


def _scale(pool: Pool, now: float) -> Iterator[Action]:
    if scaling.watches(pool) and now >= pool.load.sample_at:
        yield MeasureLoad()


def _fill_slots(pool: Pool, accepting: BySlot, now: float) -> Iterator[Action]:
    worker_id = pool.next_worker_id
    workers = pool.workers.values()
    rolled = set(pool.rolled_slots if pool.candidate is not None else pool.wanted_slots)
    occupied = {worker.slot for worker in workers if worker.is_booting or worker.phase is Phase.LOST}
    orders = Counter(worker.generation for worker in workers if worker.is_booting and worker.pid is None)
    surging = any(worker.is_booting and accepting[worker.slot] for worker in workers)
    recycling_one = recycling.is_going_on(pool, accepting)
    for number in pool.wanted_slots:
        slot = pool.slots.get(number) or Slot(number)
        if number in occupied or now < slot.retry_at:
            continue
        serving = accepting[number]
        if not serving:
            generation = _for_empty_slot(pool)
        elif not surging and not any(pool.is_current(worker) for worker in serving):
            recycled = all(worker.replace and not worker.urgent for worker in serving)
            if recycled and recycling_one:
                continue
            generation = _for_replacement(pool) if number in rolled else None
            surging = generation is not None
        else:
            continue
        if generation is not None and orders[generation] < MAX_ORDERS:
            beside = bool(serving) and not any(worker.urgent for worker in serving)
            yield SpawnWorker(worker_id, number, generation, beside)
            worker_id += 1
            orders[generation] += 1


def _for_empty_slot(pool: Pool) -> int | None:
    """Who serves best in a slot nobody serves in: a candidate only if it has proved itself or nobody else can."""
    active, candidate = pool.active_generation, pool.candidate_generation
    candidate_can = candidate is not None and candidate.can_fork and candidate.phase is GenerationPhase.READY
    active_can = active is not None and active.can_fork
    if candidate is not None and candidate_can and (candidate.proven or not active_can):
        return candidate.number
    return active.number if active is not None and active_can else None


def _for_replacement(pool: Pool) -> int | None:
    desired = pool.desired
    return desired if desired is not None and pool.generations[desired].can_fork else None


def _retire_workers(pool: Pool, accepting: BySlot) -> Iterator[Action]:
    wanted = set(pool.wanted_slots)
    for worker in pool.workers.values():
        if worker.phase is not Phase.ACCEPTING:
            continue
        if worker.slot not in wanted:
            # Slots a candidate does not have are kept by those who hold them until it is committed.
            yield DrainWorker(worker.id, "pause" if pool.paused else "scale")
        elif not pool.is_current(worker) and _is_replaced(pool, worker, accepting[worker.slot]):
            yield DrainWorker(worker.id, worker.replace or "reload")


def _is_replaced(pool: Pool, worker: Worker, beside: list[Worker]) -> bool:
    """Somebody serves in its place; a successor that is to be replaced itself is as good, for a reload as well: two that wait
    for the candidate's worker would each keep the other from being replaced."""
    same_code = (pool.desired, worker.generation)
    return any(
        pool.is_current(other) or (other.generation in same_code and other.id > worker.id) for other in beside
    )
