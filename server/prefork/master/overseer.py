"""Watches over the requests that run, by way of the scoreboard.

Owns: the rows of the scoreboard, carrying out what `deadlines` decides, and fetching Python stacks for the log. Runs in: master.
Must not know: what the limits mean, how a worker is replaced (it says which one, as events).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from prefork.ipc.boot import INTERRUPT_SIGNAL, STACKS_SIGNAL
from prefork.ipc.scoreboard import Scoreboard
from prefork.ipc.seat import Running
from prefork.master.deadlines import (
    EndWorker,
    Interrupt,
    ReplaceWorker,
    RequestLimits,
    TellSlow,
    Watch,
    WorkerView,
    look,
)
from prefork.master.events import Event, WorkerDoomed, WorkerStuck
from prefork.master.generations import Generations
from prefork.master.notes import Note
from prefork.master.processes import Processes
from prefork.master.stacks import stack_of_thread
from prefork.master.state import Phase, Pool, Worker

POLL_S = 0.03
"""Between two looks at whether a process has written its stacks; it takes about a millisecond if it runs at all."""

PATIENCE_S = 3.0
"""Then the line is written without them: the process is stopped, or out of its mind."""


@dataclass(slots=True)
class _Report:
    """One process's stacks, asked for, and the notes that wait for them."""

    worker: Worker
    notes: list[tuple[Note, int]] = field(default_factory=list)
    """Each with the ident of its thread."""
    give_up_at: float = 0.0
    """0: not asked for yet."""
    size: int = 0
    """Of what was written when we last looked, at `looked_at`."""
    looked_at: float = 0.0


class Overseer:
    """One for the server; looks when it is time to, or something has changed."""

    def __init__(
        self,
        pool: Pool,
        processes: Processes,
        generations: Generations,
        board: Scoreboard,
        clock: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._processes = processes
        self._generations = generations
        self._board = board
        self._clock = clock
        self._watch = Watch()
        self._limits: dict[int, RequestLimits] = {}
        self._reports: deque[_Report] = deque()

    @property
    def next_look(self) -> float | None:
        """When to call `look` although nothing happens; None: never."""
        if self._reports:
            return self._clock() + POLL_S
        return self._watch.next_look if self._pool.workers else None

    def look(self) -> list[Event]:
        """Collect rows that are free, do what is due; returns what the pool should know."""
        self._collect_rows()
        self._fetch_stacks()
        now = self._clock()
        changed = self._learn_limits()
        due = self._watch.next_look is not None and now >= self._watch.next_look
        if not (changed or due):
            return []
        views = [self._view(worker) for worker in self._pool.workers.values() if worker.pid is not None]
        happened: list[Event] = []
        for decision in look(self._watch, views, self._limits.values(), now):
            worker = self._pool.workers[decision.worker]
            match decision:
                case TellSlow():
                    self._report(worker, decision.request, "request_slow", decision.elapsed_s)
                case Interrupt():
                    self._interrupt(worker, decision)
                case ReplaceWorker():
                    self._report(worker, decision.request, "request_stuck", decision.elapsed_s)
                    happened.append(WorkerStuck(worker.id))
                case EndWorker():
                    happened.append(WorkerDoomed(worker.id, decision.why))
        return happened

    def _collect_rows(self) -> None:
        for worker in self._board.workers:
            if worker not in self._pool.workers:
                self._board.release(worker)

    def _learn_limits(self) -> bool:
        """Whether there is a generation whose limits were not known at the last look."""
        if self._limits.keys() == self._pool.generations.keys():
            return False
        self._limits = {number: self._generations.request_limits(number) for number in self._pool.generations}
        return True

    def _view(self, worker: Worker) -> WorkerView:
        board = self._board
        return WorkerView(
            id=worker.id,
            limits=self._limits[worker.generation],
            seats=board.seats(worker.id),
            connections=board.connections(worker.id),
            draining=worker.phase is Phase.DRAINING,
            running=tuple(board.running(worker.id)),
        )

    def _interrupt(self, worker: Worker, decision: Interrupt) -> None:
        request = decision.request
        if not decision.again:
            fields = _fields(worker, request, decision.elapsed_s)
            self._generations.log.warning("request_timeout", **fields)
        self._board.want_interrupted(worker.id, request.seat, request.number)
        assert worker.pid is not None
        self._processes.kill(worker.pid, INTERRUPT_SIGNAL)

    # stacks -----------------------------------------------------------------------------------------------------

    def _report(self, worker: Worker, request: Running, event: str, elapsed_s: float) -> None:
        """Log the request as soon as its stack is there."""
        note = (Note("warning", event, _fields(worker, request, elapsed_s)), request.thread)
        for report in self._reports:
            if report.worker is worker and not report.give_up_at:
                report.notes.append(note)
                return
        self._reports.append(_Report(worker, [note]))
        self._fetch_stacks()

    def _fetch_stacks(self) -> None:
        """One process at a time: those of a generation share the memory they write to."""
        while self._reports:
            report = self._reports[0]
            worker = report.worker
            gone = worker.id not in self._pool.workers or worker.pid is None
            stacks = self._generations.stacks_file(worker.generation)
            now = self._clock()
            text = ""
            if not gone and stacks is not None:
                if not report.give_up_at:
                    stacks.take()  # what somebody else left there
                    report.give_up_at, report.looked_at = now + PATIENCE_S, now
                    assert worker.pid is not None
                    self._processes.kill(worker.pid, STACKS_SIGNAL)
                    return
                if now < report.looked_at + POLL_S:
                    return
                size = stacks.size
                complete = size > 0 and size == report.size
                report.size, report.looked_at = size, now
                if not complete and now < report.give_up_at:
                    return
                text = stacks.take()
            self._reports.popleft()
            for note, thread in report.notes:
                stack = stack_of_thread(text, thread)
                self._generations.log.tell(Note(note.level, note.event, note.fields, stack))


def _fields(worker: Worker, request: Running, elapsed_s: float) -> dict[str, object]:
    return {
        "request": request.line,
        "client": request.client or None,
        "worker": worker.slot,
        "gen": worker.generation,
        "pid": worker.pid,
        "thread": request.seat + 1,
        "elapsed_s": round(elapsed_s, 1),
    }
