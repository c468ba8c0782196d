"""Python stacks for whoever asks on the control socket.

Owns: which processes are asked, and which requests their threads ran at that moment. Part of the master's loop. Runs in: master.
Must not know: what stacks look like.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from prefork.ipc.control import Result, Stack
from prefork.ipc.seat import Running
from prefork.master.control import Client
from prefork.master.generations import Generations
from prefork.master.snapshot import request_status
from prefork.master.stacktaking import StackTaking
from prefork.master.state import Pool, Worker

_LONGEST_ANSWER = 3 << 20
"""Bytes of stacks in one answer; with what JSON adds it is below `MAX_REPLY`."""


class _Answer(msgspec.Struct):
    client: Client
    missing: int
    longest: int
    stacks: list[Stack] = msgspec.field(default_factory=list)

    def add(self, stack: Stack) -> None:
        self.stacks.append(stack)
        self.missing -= 1
        if not self.missing:
            self.client.tell(Result(ok=True, data=msgspec.Raw(msgspec.json.encode(self.stacks))))


class StackDesk:
    """One for the server."""

    def __init__(
        self, pool: Pool, generations: Generations, taking: StackTaking, clock: Callable[[], float]
    ) -> None:
        self._pool = pool
        self._generations = generations
        self._taking = taking
        self._clock = clock

    def answer(self, client: Client, workers: list[Worker]) -> None:
        """Tell `client` the stacks of these workers, which have process numbers; in a while."""
        answer = _Answer(client, len(workers), _LONGEST_ANSWER // max(1, len(workers)))
        for worker in workers:
            self._ask(answer, worker)

    def _ask(self, answer: _Answer, worker: Worker) -> None:
        stacks, pid = self._generations.stacks_file(worker.generation), worker.pid
        assert pid is not None
        before: list[Running] = []

        def is_there() -> bool:
            return worker.id in self._pool.workers

        def look() -> None:
            before[:] = self._generations.board.running(worker.id)

        def take(text: str) -> None:
            # A thread that has begun nothing else since was at this request when it wrote, or idle, which the stack tells. (Not
            # only if it still runs: to be asked ends some C functions, such as sleep(3).) Of shorter requests nobody can tell.
            last = self._generations.board.steps(worker.id)
            running = [each for each in before if last.get(each.seat) == each.number]
            time = self._clock()
            answer.add(
                Stack(
                    worker=worker.slot,
                    pid=pid,
                    generation=worker.generation,
                    text=text[: answer.longest],
                    error="" if text else "no answer: it has ended, is stopped, or sleeps inside the kernel",
                    running=[request_status(each, time) for each in running],
                )
            )

        if stacks is None:
            take("")
        else:
            self._taking.ask(pid, stacks, is_there, take, asking=look)
