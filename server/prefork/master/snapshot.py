"""What the master says when it is asked how things are.

Owns: the words for the state of the pool. Reads the scoreboard, changes nothing. Runs in: master. Must not know: who asks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from prefork.ipc.histogram import BOUNDS_S
from prefork.ipc.seat import Running
from prefork.ipc.status import CountersStatus, GenerationStatus, RequestStatus, Status, WorkerStatus
from prefork.ipc.totals import Totals
from prefork.master.cpu import cpu_s
from prefork.master.generations import Generations
from prefork.master.handover import Remembered
from prefork.master.history import History
from prefork.master.queues import ListenQueues
from prefork.master.state import Generation, GenerationPhase, Pool, Slot, Stop, Worker
from prefork.master.tallies import Tallies
from prefork.version import __version__

_BOUNDS_S = list(BOUNDS_S)


class Snapshots:
    """Takes them; one for the server."""

    def __init__(
        self,
        pool: Pool,
        generations: Generations,
        queues: ListenQueues,
        clock: Callable[[], float],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._generations = generations
        self._queues = queues
        self._clock = clock
        self.started = clock()
        """When the server began, before any upgrade; monotonic seconds."""
        self.history = History(clock, wall_clock)
        generations.log.follow(self.history.hear)
        self._tallies = Tallies()
        generations.log.follow(self._tallies.hear)

    def remembered(self) -> Remembered:
        """For the program that comes after an upgrade."""
        return Remembered(
            started=self.started,
            history=self.history.entries,
            highest=dict(self._queues.highest),
            counted=self._generations.board.counted(),
        )

    def remember(self, remembered: Remembered) -> None:
        """After an upgrade."""
        if remembered.started is not None:
            self.started = remembered.started
        self.history.restore(remembered.history)
        self._queues.restore(remembered.highest)

    def take(self) -> Status:
        """How things are now."""
        pool, board, now = self._pool, self._generations.board, self._clock()
        in_force = self._generations.in_force
        workers = [
            self._worker(each, now)
            for each in sorted(pool.workers.values(), key=lambda worker: (worker.slot, worker.id))
        ]
        history = self.history.latest()
        used = [each.cpu_s for each in workers if each.cpu_s is not None]
        return Status(
            name=in_force.settings.server.name,
            pid=os.getpid(),
            version=__version__,
            uptime_s=round(now - self.started, 3),
            state=_state(pool),
            generation=pool.active,
            workers_wanted=pool.size,
            generations=[_generation(each, now) for _, each in sorted(pool.generations.items())],
            workers=workers,
            listeners=[str(listener.address) for listener in in_force.listeners],
            last_reload=history[0] if history else None,
            history=history,
            queues=self._queues.look(),
            counters=_counters(board.totals()),
            cpu_s=round(pool.gone_cpu_s + sum(used), 3),
            bounds_s=_BOUNDS_S,
            reloads=dict(self._tallies.reloads),
            exits=dict(self._tallies.exits),
        )

    def _worker(self, worker: Worker, now: float) -> WorkerStatus:
        board = self._generations.board
        totals, running = board.totals_of(worker.id), board.running(worker.id)
        used = None if worker.pid is None else cpu_s(worker.pid)
        slot = self._pool.slots.get(worker.slot) or Slot(worker.slot)
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
            busy=len(running),
            running=[request_status(each, now) for each in running],
            connections=board.connections(worker.id),
            counters=None if totals is None else _counters(totals),
            cpu_s=None if used is None else round(used, 3),
            restarts=worker.restarts,
            last_exit=slot.last_exit,
        )


def _state(pool: Pool) -> str:
    candidate = pool.candidate_generation
    if pool.stop is not Stop.NO:
        return "stopping"
    if pool.drain is not None:
        return "draining"
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


def request_status(running: Running, now: float) -> RequestStatus:
    """A request as a reader of the status knows it; `now` is a time of CLOCK_MONOTONIC."""
    return RequestStatus(
        thread=running.seat + 1,
        request=running.line,
        client=running.client,
        elapsed_s=round(max(now - running.began_ns / 1e9, 0.0), 3),
        ident=running.thread,
    )


def _counters(totals: Totals) -> CountersStatus:
    return CountersStatus(
        requests=totals.requests,
        by_class=list(totals[:5]),
        bytes_in=totals.bytes_in,
        bytes_out=totals.bytes_out,
        busy_s=totals.busy_ns / 1e9,
        exceptions=totals.exceptions,
        shed=totals.shed,
        connections=totals.connections,
        duration=list(totals.duration),
        queued=list(totals.queued),
        queued_s=totals.queued_ns / 1e9,
    )
