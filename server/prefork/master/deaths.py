"""Deaths and failures: whose they are, what they mean, how long to wait before the next attempt.

Owns: the difference between an exit that was asked for, a crash, a failed boot and a failed generation; back-off.
Runs in: master. Pure. Must not know: how processes are started again (see `plan`).

What a failure may cost: a candidate fails alone, and the active generation goes on. Only a first generation of which
nothing ever served ends the server (exit 3).
"""

from __future__ import annotations

import signal

from prefork.errors import EXIT_BOOT_FAILED
from prefork.master import upgrading
from prefork.master.events import ProcessEnded, RollbackRefused, StartRefused
from prefork.master.notes import Note
from prefork.master.state import (
    MAX_EARLY_DEATHS,
    STABLE_AFTER_S,
    Failure,
    Generation,
    GenerationPhase,
    Pool,
    Slot,
    Stop,
    Worker,
    ZygotePhase,
)

_BACKOFF_S = (0.1, 30.0)
"""First and longest wait of a slot, after its second death in a row; the first is replaced at once."""

_RESTART_BACKOFF_S = (1.0, 60.0)
"""First and longest wait before another generation is started for a dead zygote, after the first attempt failed."""


def slot_delay_s(failures: int) -> float:
    """How long a slot waits after so many failures in a row."""
    return 0.0 if failures <= 1 else _backoff_s(failures - 1, *_BACKOFF_S)


def restart_delay_s(failures: int) -> float:
    """How long to wait after so many generations in a row failed to replace one whose zygote died."""
    return _backoff_s(failures, *_RESTART_BACKOFF_S)


def _backoff_s(attempt: int, first_s: float, longest_s: float) -> float:
    # The exponent is bounded: years of failures would overflow a float.
    return min(longest_s, first_s * 2.0 ** min(attempt - 1, 30))


# processes ----------------------------------------------------------------------------------------------------------


def process_ended(pool: Pool, event: ProcessEnded, now: float) -> list[Note]:
    """A child was collected: worker, zygote or stranger."""
    pid = event.exit.pid
    for worker in pool.workers.values():
        if worker.pid == pid:
            return _worker_ended(pool, worker, event, now)
    for generation in pool.generations.values():
        if generation.zygote_pid == pid and generation.zygote is not ZygotePhase.GONE:
            return _zygote_ended(pool, generation, event, now)
    if pool.trial is not None and pool.trial.pid == pid:
        return upgrading.trial_ended(pool, pool.trial, event)
    return [Note("debug", "stranger_reaped", {"pid": pid, "how": str(event.exit)})]


def _worker_ended(pool: Pool, worker: Worker, event: ProcessEnded, now: float) -> list[Note]:
    del pool.workers[worker.id]
    pool.gone_cpu_s += event.exit.cpu_s
    slot = pool.slots.setdefault(worker.slot, Slot(worker.slot))
    slot.last_exit = worker.killed or worker.replace or worker.reason or str(event.exit)
    if _was_stable(worker, now) or (worker.ready_at is not None and worker.reason and event.exit.code == 0):
        slot.failures = 0
    fields: dict[str, object] = {
        "worker": worker.slot,
        "gen": worker.generation,
        "pid": worker.pid,
        "how": str(event.exit),
        "killed": worker.killed or None,
        "reason": worker.reason or None,
        "cause": _cause(event, worker.killed),
        **_at_death(event),
    }
    if worker.reason or pool.stop is not Stop.NO:
        clean = event.exit.code == 0 or worker.ready_at is None
        return [Note("info" if clean else "warning", "worker_exited", fields)]
    if worker.ready_at is not None:
        return _worker_crashed(pool, worker, fields, event, now)
    failure = worker.failure or Failure("boot", _boot_death("worker", worker.killed, event), event.stacks)
    return _worker_failed(pool, worker, failure, fields, now)


def _at_death(event: ProcessEnded) -> dict[str, object]:
    """What it was answering, and how much memory it had at its largest.

    That is the kernel's own count, which ends with the process: right up to the moment in which the OOM killer came. A sample of
    ours would be up to a second old and miss just that.
    """
    if event.exit.code == 0:
        return {}
    peak = event.exit.peak_memory
    return {"request": event.request or None, "peak_memory": f"{peak >> 20}MiB" if peak else None}


def _boot_death(who: str, killed: str, event: ProcessEnded) -> str:
    if killed:
        return f"the {who} was {killed}"
    cause = _cause(event, killed)
    peak = _at_death(event).get("peak_memory")
    more = [cause, f"peak memory {peak}" if peak and event.exit.signal is not None else None]
    return ", ".join([f"the {who} ended before it was ready: {event.exit}", *filter(None, more)])


def _cause(event: ProcessEnded, killed: str) -> str | None:
    """Of a SIGKILL that was not ours: somebody's, or the kernel's when memory was short."""
    if event.exit.signal != signal.SIGKILL or killed:
        return None
    return f"killed from outside; {event.oom}" if event.oom else "killed from outside"


def worker_not_forked(pool: Pool, worker: Worker, error: str, now: float) -> list[Note]:
    """It never was a process."""
    del pool.workers[worker.id]
    fields: dict[str, object] = {"worker": worker.slot, "gen": worker.generation, "how": "never forked"}
    if worker.reason or pool.stop is not Stop.NO:
        return []
    return _worker_failed(pool, worker, Failure("fork", error), fields, now)


def _worker_crashed(
    pool: Pool, worker: Worker, fields: dict[str, object], event: ProcessEnded, now: float
) -> list[Note]:
    assert worker.ready_at is not None
    slot = pool.slots.setdefault(worker.slot, Slot(worker.slot))
    early = not _was_stable(worker, now)
    generation = pool.generations[worker.generation]
    fields |= {
        "served_s": round(now - worker.ready_at, 1),
        **_failed(slot, now),
    }
    # The same stacks again and again would be a flood; the line with its counter is not.
    repeated = event.stacks == generation.last_stacks
    generation.last_stacks = event.stacks
    notes = [Note("error", "worker_exited", fields, "" if repeated else event.stacks)]
    if early and generation.number == pool.candidate:
        generation.early_deaths += 1
        if generation.early_deaths >= MAX_EARLY_DEATHS:
            error = (
                f"{generation.early_deaths} of its workers died soon after they were ready: {fields['how']}"
            )
            notes += _generation_failed(pool, generation, Failure("crash loop", error), now)
    return notes


def _worker_failed(
    pool: Pool, worker: Worker, failure: Failure, fields: dict[str, object], now: float
) -> list[Note]:
    generation = pool.generations[worker.generation]
    if generation.number == pool.candidate:
        # The reason is told once, by the failure of the generation.
        return [Note("info", "worker_exited", fields), *_generation_failed(pool, generation, failure, now)]
    fields |= {"stage": failure.stage, "error": failure.error}
    serving = pool.accepting(worker.slot)
    if serving:
        # It was to replace this one, which stays.
        fields["serving_pid"] = serving[0].pid
    slot = pool.slots.setdefault(worker.slot, Slot(worker.slot))
    if any(_was_stable(each, now) and slot.failed_at < (each.ready_at or 0.0) for each in serving):
        # It came up after what failed before.
        slot.failures = 0
    fields |= _failed(slot, now)
    return [_told_once(generation, slot, failure, fields, now)]


def _told_once(
    generation: Generation, slot: Slot, failure: Failure, fields: dict[str, object], now: float
) -> Note:
    """The same traceback again and again would be a flood, and so would a line for each of many workers that fail in the same
    way: there is one for each round of attempts, with the number of the others."""
    before, generation.failure = generation.failure, failure
    if before != failure:
        generation.told_failures = generation.untold = 0
    elif slot.failures <= generation.told_failures and now - generation.told_at < _BACKOFF_S[1]:
        generation.untold += 1
        return Note("debug", "worker_exited", fields)
    fields["alike"] = generation.untold or None
    generation.told_failures, generation.told_at, generation.untold = slot.failures, now, 0
    repeated = before is not None and before.traceback == failure.traceback
    return Note("error", "worker_exited", fields, "" if repeated else failure.traceback)


def _was_stable(worker: Worker, now: float) -> bool:
    return worker.ready_at is not None and now - worker.ready_at >= STABLE_AFTER_S


def _failed(slot: Slot, now: float) -> dict[str, object]:
    """One more failure of the slot: when to try again, and what to say of it."""
    slot.failures += 1
    slot.failed_at = now
    delay_s = slot_delay_s(slot.failures)
    slot.retry_at = now + delay_s
    return {"failures": slot.failures, "retry_in_s": round(delay_s, 1)} if slot.failures > 1 else {}


# generations --------------------------------------------------------------------------------------------------------


def zygote_gives_up(pool: Pool, generation: Generation, failure: Failure, now: float) -> list[Note]:
    """The zygote said why it cannot go on; it exits by itself."""
    generation.zygote = ZygotePhase.LEAVING
    if pool.stop is not Stop.NO:
        return []
    if generation.number == pool.candidate:
        return _generation_failed(pool, generation, failure, now)
    fields: dict[str, object] = {"gen": generation.number, "stage": failure.stage, "error": failure.error}
    return [Note("error", "zygote_failed", fields, failure.traceback)]


def _zygote_ended(pool: Pool, generation: Generation, event: ProcessEnded, now: float) -> list[Note]:
    generation.zygote = ZygotePhase.GONE
    fields: dict[str, object] = {
        "gen": generation.number,
        "pid": generation.zygote_pid,
        "how": str(event.exit),
        "killed": generation.zygote_killed or None,
        "cause": _cause(event, generation.zygote_killed),
        **_at_death(event),
    }
    expected = pool.stop is not Stop.NO or generation.phase in (
        GenerationPhase.RETIRED,
        GenerationPhase.FAILED,
    )
    if expected:
        return [Note("debug", "zygote_exited", fields)]
    if generation.number == pool.candidate:
        error = _boot_death("zygote", generation.zygote_killed, event)
        failure = Failure("boot", error, event.stacks)
        return _generation_failed(pool, generation, failure, now)
    if generation.phase is GenerationPhase.PARKED:
        fields["hint"] = "this generation was kept for a rollback, which is not possible now"
        return [Note("warning", "zygote_exited", fields, event.stacks)]
    # Workers do not depend on it, but nobody can replace one that dies.
    pool.restart_at = now
    return [Note("error", "zygote_exited", fields, event.stacks)]


def start_refused(pool: Pool, event: StartRefused, now: float) -> list[Note]:
    """No candidate came to be."""
    failure = event.failure
    if event.restart:
        _delay_restart(pool, now)
    fields: dict[str, object] = {"stage": failure.stage, "error": failure.error, "serving_gen": pool.active}
    return [Note("error", "reload_failed", fields, failure.traceback)]


def rollback_refused(pool: Pool, event: RollbackRefused) -> list[Note]:
    """The parked generation stays parked."""
    failure = event.failure
    fields: dict[str, object] = {"gen": event.generation, "stage": failure.stage, "error": failure.error}
    return [Note("error", "rollback_failed", {**fields, "serving_gen": pool.active}, failure.traceback)]


def _generation_failed(pool: Pool, generation: Generation, failure: Failure, now: float) -> list[Note]:
    generation.phase, generation.failure = GenerationPhase.FAILED, failure
    pool.candidate = None
    fields: dict[str, object] = {"gen": generation.number, "stage": failure.stage, "error": failure.error}
    active = pool.active_generation
    if active is None:
        pool.stop, pool.exit_code = Stop.FAST, EXIT_BOOT_FAILED
        return [Note("error", "boot_failed", fields, failure.traceback)]
    if not active.can_fork:
        _delay_restart(pool, now)
    what = "rollback_failed" if generation.returning else "reload_failed"
    return [Note("error", what, {**fields, "serving_gen": active.number}, failure.traceback)]


def _delay_restart(pool: Pool, now: float) -> None:
    pool.restart_failures += 1
    pool.restart_at = now + restart_delay_s(pool.restart_failures)
