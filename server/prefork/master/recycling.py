"""Workers that served long enough: which one is to be replaced, when, and why.

Owns: what `max_requests`, `max_lifetime` and `max_memory` mean. Runs in: master. Pure. Must not know: how a replacement is
made (see `plan`, which puts the new worker beside the old one first), how memory is measured (see `memory`).

A worker that is to be recycled goes on serving until its replacement accepts. It stays for STABLE_AFTER_S at least, so that
a limit which every fresh worker breaks at once makes a slow rotation and no storm.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefork.master.events import MemoryMeasured, RecycleAsked, WorkerWantsLeave
from prefork.master.notes import Note
from prefork.master.state import STABLE_AFTER_S, BySlot, Limits, Phase, Pool, Stop, Worker

MEASURE_EVERY_S = 1.0
"""How often memory is looked at, if it is limited."""

LIFETIME_SPREAD = 0.1
"""Lifetimes are spread over the last tenth, so that workers that started together do not leave together."""

_GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio are spread evenly over 0..1, however few they are (a low-discrepancy sequence)."""


def lifetime_s(limits: Limits, worker: int) -> float | None:
    """How long this worker may serve; None: for ever."""
    if not limits.max_lifetime_s:
        return None
    return limits.max_lifetime_s * (1.0 - LIFETIME_SPREAD * (worker * _GOLDEN % 1.0))


def begin(worker: Worker, limits: Limits, now: float) -> None:
    """The worker serves from now on."""
    seconds = lifetime_s(limits, worker.id)
    if seconds is not None:
        worker.recycle_at, worker.recycle_why = now + seconds, f"max_lifetime = {limits.max_lifetime_s:g}s"


def wants_leave(worker: Worker, event: WorkerWantsLeave, now: float) -> list[Note]:
    """It has counted its requests."""
    _schedule(worker, event.reason, now)
    return []


def asked(pool: Pool, event: RecycleAsked, now: float) -> list[Note]:
    """Somebody wants these workers replaced; however young they are."""
    chosen = [
        worker
        for worker in pool.workers.values()
        if event.slot in (None, worker.slot) and worker.phase is Phase.ACCEPTING and not worker.replace
    ]
    for worker in chosen:
        worker.recycle_at, worker.recycle_why = now, "asked for"
    return [Note("info", "recycling_asked", {"workers": ", ".join(str(each.slot) for each in chosen)})]


def measured(pool: Pool, event: MemoryMeasured, now: float) -> list[Note]:
    """So much memory is the worker's own."""
    worker = pool.workers.get(event.worker)
    if worker is None:
        return []
    limits = pool.generations[worker.generation].limits
    if limits.max_memory_hard and event.size > limits.max_memory_hard:
        worker.doomed = f"{_mib(event.size)} of memory, max_memory_hard = {_mib(limits.max_memory_hard)}"
    elif limits.max_memory and event.size > limits.max_memory:
        _schedule(worker, f"{_mib(event.size)} of memory, max_memory = {_mib(limits.max_memory)}", now)
    return []


def due(pool: Pool, now: float) -> Iterator[Worker]:
    """Workers whose time has come and who are not marked yet."""
    for worker in pool.workers.values():
        at = _waiting_until(worker)
        if at is not None and now >= at:
            yield worker


def is_going_on(pool: Pool, accepting: BySlot) -> bool:
    """A recycled worker has not left yet: the next one waits, for both take memory."""
    return any(
        worker.replace and (worker.phase is Phase.DRAINING or len(accepting[worker.slot]) > 1)
        for worker in pool.workers.values()
    )


def deadlines(pool: Pool) -> Iterator[float]:
    """When something is to be done here."""
    for worker in pool.workers.values():
        at = _waiting_until(worker)
        if at is not None:
            yield at
    if measures(pool):
        yield pool.measure_at


def measures(pool: Pool) -> bool:
    """Whether anybody's memory is limited."""
    if pool.stop is not Stop.NO:
        return False
    limits = (pool.generations[worker.generation].limits for worker in pool.workers.values())
    return any(each.max_memory or each.max_memory_hard for each in limits)


def _waiting_until(worker: Worker) -> float | None:
    return worker.recycle_at if worker.phase is Phase.ACCEPTING and not worker.replace else None


def _schedule(worker: Worker, why: str, now: float) -> None:
    if worker.phase is not Phase.ACCEPTING or worker.ready_at is None or worker.replace:
        return
    at = max(now, worker.ready_at + STABLE_AFTER_S)
    if worker.recycle_at is None or at < worker.recycle_at:
        worker.recycle_at, worker.recycle_why = at, why


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f}MiB"
