"""What each event changes in the state.

Owns: those changes, except for deaths and failures (see `deaths`). Runs in: master. Pure: no clock, no system call; what
the log should say is returned. Must not know: what is done about it (see `plan`).
"""

from __future__ import annotations

from prefork.master import codechanges, deaths, draining, recycling, scaling, upgrading
from prefork.master.events import (
    ClockJumped,
    CodeChanged,
    ConnectionWaits,
    DrainAsked,
    DrainEnded,
    Event,
    GenerationReturns,
    GenerationStarted,
    LoadMeasured,
    MemoryMeasured,
    PauseAsked,
    ProcessEnded,
    QueueChecked,
    RecycleAsked,
    ReloadAsked,
    ResumeAsked,
    RollbackAsked,
    RollbackRefused,
    ScaleAsked,
    ScaleTo,
    StartRefused,
    StopAsked,
    UpgradeAsked,
    UpgradeRefused,
    UpgradeTried,
    WorkerAccepts,
    WorkerChannelEnded,
    WorkerDoomed,
    WorkerForked,
    WorkerGivesUp,
    WorkerLeaves,
    WorkerNotForked,
    WorkerStuck,
    WorkerWantsLeave,
    ZygoteChannelEnded,
    ZygoteGivesUp,
    ZygoteReports,
)
from prefork.master.notes import Note
from prefork.master.state import (
    EXIT_GRACE_S,
    Generation,
    GenerationPhase,
    Phase,
    Pool,
    Stop,
    ZygotePhase,
)


def apply(pool: Pool, event: Event, now: float) -> list[Note]:
    """Change `pool` by what happened at `now`; returns what the log should say."""
    match event:
        case ProcessEnded():
            return deaths.process_ended(pool, event, now)
        case (
            WorkerForked()
            | WorkerNotForked()
            | WorkerAccepts()
            | WorkerGivesUp()
            | WorkerLeaves()
            | WorkerWantsLeave()
        ):
            return _from_worker(pool, event, now)
        case MemoryMeasured():
            return recycling.measured(pool, event, now)
        case WorkerStuck() | WorkerDoomed():
            return _overdue(pool, event)
        case WorkerChannelEnded():
            return _worker_channel_ended(pool, event, now)
        case ZygoteReports() | ZygoteGivesUp() | ZygoteChannelEnded():
            return _from_zygote(pool, event, now)
        case GenerationStarted():
            return _generation_started(pool, event, now)
        case StartRefused():
            return deaths.start_refused(pool, event, now)
        case GenerationReturns():
            return _generation_returns(pool, event)
        case RollbackRefused():
            return deaths.rollback_refused(pool, event)
        case (
            ReloadAsked()
            | RollbackAsked()
            | ScaleAsked()
            | ScaleTo()
            | PauseAsked()
            | ResumeAsked()
            | StopAsked()
        ):
            return _asked(pool, event, now)
        case DrainAsked():
            return [] if pool.stop is not Stop.NO else draining.asked(pool, event, now)
        case DrainEnded():
            return draining.ended(pool)
        case CodeChanged():
            return codechanges.changed(pool, event, now)
        case RecycleAsked():
            return recycling.asked(pool, event, now)
        case UpgradeAsked():
            return [] if pool.is_leaving else upgrading.asked(pool, event.by)
        case LoadMeasured():
            return scaling.measured(pool, event, now)
        case QueueChecked():
            pool.last_wanted = event.length > 0
            return [Note("info", "queue_drains", {"connections": event.length})] if pool.last_wanted else []
        case ConnectionWaits():
            return scaling.connection_waits(pool, now)
        case UpgradeTried():
            return upgrading.tried(pool, event)
        case UpgradeRefused():
            return upgrading.refused(pool, event)
        case ClockJumped():
            return _clock_jumped(pool, event)


# workers ------------------------------------------------------------------------------------------------------------


def _from_worker(
    pool: Pool,
    event: WorkerForked | WorkerNotForked | WorkerAccepts | WorkerGivesUp | WorkerLeaves | WorkerWantsLeave,
    now: float,
) -> list[Note]:
    worker = pool.workers.get(event.worker)
    if worker is None:
        return []
    fields: dict[str, object] = {"worker": worker.slot, "gen": worker.generation, "pid": worker.pid}
    match event:
        case WorkerForked():
            worker.pid = event.pid
            return [Note("debug", "worker_forked", {**fields, "pid": event.pid})]
        case WorkerNotForked():
            return deaths.worker_not_forked(pool, worker, event.error, now)
        case WorkerGivesUp():
            worker.failure = event.failure
            return []
        case WorkerLeaves():
            return [Note("debug", "worker_leaving", {**fields, "requests": event.requests})]
        case WorkerWantsLeave():
            return recycling.wants_leave(worker, event, now)
        case WorkerAccepts():
            if not worker.is_booting:
                # It has been told to leave in the meantime.
                return []
            worker.phase, worker.ready_at = Phase.ACCEPTING, now
            pool.generations[worker.generation].told_failures = 0
            recycling.begin(worker, pool.generations[worker.generation].limits, now)
            _prove(pool, pool.generations[worker.generation])
            return [Note("info", "worker_ready", fields), *_completed(pool)]


def _prove(pool: Pool, generation: Generation) -> None:
    """It can serve. The first generation has nobody to take over from: it is active from here on."""
    generation.proven = True
    if pool.active is None:
        generation.phase = GenerationPhase.ACTIVE
        pool.active, pool.candidate = generation.number, None


def _completed(pool: Pool) -> list[Note]:
    if pool.complete:
        return []
    accepting = pool.accepting_by_slot()
    if not all(accepting[slot] for slot in pool.wanted_slots):
        return []
    pool.complete = True
    return [Note("info", "ready", {"gen": pool.desired, "workers": pool.size})]


def _overdue(pool: Pool, event: WorkerStuck | WorkerDoomed) -> list[Note]:
    """It runs a request that does not end. The log has its stack already."""
    worker = pool.workers.get(event.worker)
    if worker is not None and isinstance(event, WorkerDoomed):
        worker.doomed = event.why
    elif worker is not None:
        worker.replace, worker.urgent = worker.replace or "request_stuck", True
    return []


def _worker_channel_ended(pool: Pool, event: WorkerChannelEnded, now: float) -> list[Note]:
    """End of file, after all of the worker's messages: its exit follows. Without a pid it never was a process."""
    worker = pool.workers.get(event.worker)
    if worker is None:
        return []
    if worker.pid is None:
        return deaths.worker_not_forked(pool, worker, "the zygote ended before the fork", now)
    if worker.is_booting or worker.phase is Phase.ACCEPTING:
        worker.phase, worker.deadline = Phase.LOST, now + EXIT_GRACE_S
    return []


# generations --------------------------------------------------------------------------------------------------------


def _generation_started(pool: Pool, event: GenerationStarted, now: float) -> list[Note]:
    generation = Generation(
        number=pool.next_generation,
        target=event.target,
        limits=event.limits,
        deadline=now + event.limits.boot_timeout_s,
        zygote_pid=event.zygote_pid,
        restart=event.restart,
    )
    if pool.active is None:
        pool.resize(event.target)
    pool.generations[generation.number] = generation
    pool.candidate = generation.number
    pool.next_generation += 1
    return [Note("debug", "zygote_started", {"gen": generation.number, "pid": generation.zygote_pid})]


def _generation_returns(pool: Pool, event: GenerationReturns) -> list[Note]:
    """Its zygote is ready; like any candidate it has to prove itself before the active one gives way."""
    generation = pool.generations[event.generation]
    generation.phase, generation.returning = GenerationPhase.READY, True
    generation.proven, generation.early_deaths, generation.failure = False, 0, None
    pool.candidate = generation.number
    _wait_no_longer(pool)
    return []


def _wait_no_longer(pool: Pool) -> None:
    """What others failed at is no reason to keep a generation waiting, nor who deployed it. If it fails too, waits grow on."""
    for slot in pool.slots.values():
        slot.retry_at = 0.0


def _from_zygote(
    pool: Pool, event: ZygoteReports | ZygoteGivesUp | ZygoteChannelEnded, now: float
) -> list[Note]:
    generation = pool.generations.get(event.generation)
    if generation is None:
        return []
    match event:
        case ZygoteReports():
            return _zygote_reports(pool, generation, event)
        case ZygoteGivesUp():
            return deaths.zygote_gives_up(pool, generation, event.failure, now)
        case ZygoteChannelEnded():
            if generation.zygote in (ZygotePhase.BOOTING, ZygotePhase.HUNG, ZygotePhase.READY):
                generation.zygote, generation.deadline = ZygotePhase.LEAVING, now + EXIT_GRACE_S
            return []


def _zygote_reports(pool: Pool, generation: Generation, event: ZygoteReports) -> list[Note]:
    if generation.zygote not in (ZygotePhase.BOOTING, ZygotePhase.HUNG):
        return []
    generation.zygote = ZygotePhase.READY
    _wait_no_longer(pool)
    if generation.phase is GenerationPhase.BOOTING:
        generation.phase = GenerationPhase.READY
        if pool.target == 0:
            # Nobody serves because nobody asks; it has to prove itself all the same.
            scaling.wake(pool)
    generation.preloaded = event.preloaded
    fields: dict[str, object] = {"gen": generation.number, "preloaded": event.preloaded}
    fields["pid"] = generation.zygote_pid
    notes = [Note("info", "zygote_ready", fields)]
    if event.note:
        hint = "each worker imports the application itself; memory is not shared"
        notes.append(
            Note("warning", "not_preloaded", {"gen": generation.number, "found": event.note, "hint": hint})
        )
    return notes


# what people ask for ------------------------------------------------------------------------------------------------


def _asked(
    pool: Pool,
    event: ReloadAsked | RollbackAsked | ScaleAsked | ScaleTo | PauseAsked | ResumeAsked | StopAsked,
    now: float,
) -> list[Note]:
    if pool.is_leaving and not isinstance(event, StopAsked):
        return []
    if pool.stop is not Stop.NO:
        if isinstance(event, StopAsked) and pool.stop is Stop.GRACEFUL:
            # A second request means now, whichever signal it is.
            pool.stop = Stop.FAST
            return [Note("info", "stopping", {"how": "fast", "by": event.by})]
        return []
    match event:
        case StopAsked():
            notes = None if event.fast else draining.stop_asked(pool, event, now)
            if notes is not None:
                return notes
            pool.stop = Stop.FAST if event.fast else Stop.GRACEFUL
            return [Note("info", "stopping", {"how": "fast" if event.fast else "graceful", "by": event.by})]
        case PauseAsked():
            if pool.paused:
                return []
            pool.paused = True
            return [Note("info", "paused", {"hint": "`prefork resume`, HUP or TTIN go on"})]
        case ReloadAsked():
            waits = pool.candidate is not None
            notes = [Note("info", "reload_queued", {"after_gen": pool.candidate})] if waits else []
            pool.reload_wanted = True
            return [*_resume(pool), *notes]
        case RollbackAsked():
            return _rollback_asked(pool)
        case ResumeAsked():
            return [*draining.resumed(pool), *_resume(pool)]
        case ScaleAsked():
            resumed = _resume(pool)
            return resumed or _scale(pool, event.by)
        case ScaleTo():
            # Measured here, where nothing can come in between: two of them at once do not add up.
            resumed, by = _resume(pool), event.count - pool.target
            return [*resumed, *(_scale(pool, by) if by else [])]


def _rollback_asked(pool: Pool) -> list[Note]:
    parked = pool.parked_generation
    if pool.candidate is not None:
        reason = f"generation {pool.candidate} is on its way; ask again when it has come up or failed"
    elif parked is None or not parked.can_fork:
        reason = "no previous generation is kept (workers.rollback_window says how long one is)"
    else:
        pool.rollback_wanted = True
        return _resume(pool)
    return [Note("warning", "rollback_refused", {"error": reason, "serving_gen": pool.active})]


def _resume(pool: Pool) -> list[Note]:
    if not pool.paused:
        return []
    pool.paused = False
    return [Note("info", "resumed", {"workers": pool.target})]


def _scale(pool: Pool, by: int) -> list[Note]:
    before = pool.target
    least, most = scaling.bounds(pool) or (1, None)
    wanted = max(least, before + by)
    pool.resize(wanted if most is None else min(most, wanted))
    pool.load.resting = False
    if pool.target == before and scaling.bounds(pool) is not None:
        hint = f"workers.count is a range from {least} to {most}"
        return [Note("warning", "not_scaled", {"workers": before, "hint": hint})]
    if pool.target == before:
        return [
            Note(
                "warning",
                "not_scaled",
                {"workers": before, "hint": "one worker is the least; `prefork pause` stops all of them"},
            )
        ]
    return [Note("info", "scaled", {"workers": pool.target, "by": f"{pool.target - before:+d}"})]


# time ---------------------------------------------------------------------------------------------------------------


def _clock_jumped(pool: Pool, event: ClockJumped) -> list[Note]:
    """Nobody could do anything in that time, or be heard: every deadline moves."""
    for worker in pool.workers.values():
        worker.deadline += event.by_s
    for generation in pool.generations.values():
        generation.deadline += event.by_s
        generation.parked_until += event.by_s
    if pool.trial is not None:
        pool.trial.deadline += event.by_s
    if pool.drain is not None:
        pool.drain.until += event.by_s
    return [Note("warning", "clock_jumped", {"by_s": round(event.by_s, 1)})]
