"""Watches over the requests that run, by way of the scoreboard.

Owns: the rows of the scoreboard, carrying out what `deadlines` decides, and fetching Python stacks for the log. Runs in: master.
Must not know: what the limits mean, how a worker is replaced (it says which one, as events).
"""

from __future__ import annotations

from prefork.ipc.boot import INTERRUPT_SIGNAL
from prefork.ipc.metricstore import ZYGOTE
from prefork.ipc.scoreboard import Scoreboard
from prefork.ipc.seat import Running
from prefork.master.deadlines import (
    EndWorker,
    Interrupt,
    ReplaceWorker,
    RequestLimits,
    StandStill,
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
from prefork.master.stacktaking import StackTaking
from prefork.master.state import Phase, Pool, Worker


class Overseer:
    """One for the server; looks when it is time to, or something has changed."""

    def __init__(
        self,
        pool: Pool,
        processes: Processes,
        generations: Generations,
        board: Scoreboard,
        stack_taking: StackTaking,
    ) -> None:
        self._pool = pool
        self._processes = processes
        self._generations = generations
        self._board = board
        self._watch = Watch()
        self._limits: dict[int, RequestLimits] = {}
        self._waiting: dict[int, list[tuple[Note, int]]] = {}
        """Worker -> notes that wait for its stacks, each with the ident of its thread."""
        self.stack_taking = stack_taking
        """Everybody who wants stacks asks here; one process is asked at a time."""

    @property
    def next_look(self) -> float | None:
        """When to call `look` although nothing happens; None: never."""
        return self._watch.next_look if self._pool.workers else None

    def stood_still(self, since: float, until: float) -> None:
        """Nobody could do anything in that time: it is no request's."""
        self._watch.stand_stills.append(StandStill(since, until))

    def look(self, now: float) -> list[Event]:
        """Collect rows that are free, do what is due; returns what the pool should know."""
        self._collect_rows()
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
        zygotes = (ZYGOTE | number for number in self._pool.generations)
        self._generations.metrics.release_others({*self._pool.workers, *zygotes})

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
        """Log the request as soon as its stack is there; without one if the process does not answer."""
        waiting = self._waiting.setdefault(worker.id, [])
        waiting.append((Note("warning", event, _fields(worker, request, elapsed_s)), request.thread))
        stacks = self._generations.stacks_file(worker.generation)
        if len(waiting) > 1:
            return  # one look at the process is for all of them
        if stacks is None or worker.pid is None:
            self._tell(worker.id, "")
            return
        self.stack_taking.ask(
            worker.pid,
            stacks,
            lambda: worker.id in self._pool.workers,
            lambda text: self._tell(worker.id, text),
        )

    def _tell(self, worker: int, text: str) -> None:
        for note, thread in self._waiting.pop(worker, ()):
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
