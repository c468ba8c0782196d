"""What the master says when it is asked how things are.

Owns: the words for the state of the pool. Reads the scoreboard, changes nothing. Runs in: master. Must not know: who asks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from prefork.ipc.scoreboard import Scoreboard
from prefork.ipc.status import GenerationStatus, ReloadStatus, Status, WorkerStatus
from prefork.master.state import Generation, GenerationPhase, Pool, Stop, Worker
from prefork.version import __version__


def snapshot(
    pool: Pool,
    board: Scoreboard,
    name: str,
    listeners: Sequence[str],
    started: float,
    last: ReloadStatus | None,
    now: float,
) -> Status:
    """The pool at `now`, which is a time of the same clock as `started`."""
    workers = sorted(pool.workers.values(), key=lambda worker: (worker.slot, worker.id))
    return Status(
        name=name,
        pid=os.getpid(),
        version=__version__,
        uptime_s=round(now - started, 3),
        state=_state(pool),
        generation=pool.active,
        workers_wanted=pool.size,
        generations=[_generation(each, now) for _, each in sorted(pool.generations.items())],
        workers=[_worker(each, board, now) for each in workers],
        listeners=list(listeners),
        last_reload=last,
    )


def _state(pool: Pool) -> str:
    candidate = pool.candidate_generation
    if pool.stop is not Stop.NO:
        return "stopping"
    if pool.paused:
        return "paused"
    if pool.active is None:
        return "starting"
    if candidate is None:
        return "serving"
    return "rolling back" if candidate.returning else "reloading"


def _generation(generation: Generation, now: float) -> GenerationStatus:
    parked = generation.phase is GenerationPhase.PARKED
    return GenerationStatus(
        number=generation.number,
        state=generation.phase.value,
        zygote_pid=generation.zygote_pid,
        zygote=generation.zygote.value,
        preloaded=generation.preloaded,
        parked_for_s=round(generation.parked_until - now, 1) if parked else None,
    )


def _worker(worker: Worker, board: Scoreboard, now: float) -> WorkerStatus:
    totals = board.totals_of(worker.id)
    return WorkerStatus(
        worker=worker.slot,
        id=worker.id,
        pid=worker.pid,
        generation=worker.generation,
        state=worker.phase.value,
        age_s=None if worker.ready_at is None else round(now - worker.ready_at, 1),
        reason=worker.killed or worker.reason or worker.replace,
        requests=None if totals is None else totals.requests,
        threads=board.seats(worker.id),
        busy=len(board.running(worker.id)),
    )
