"""Requests from the control socket become events, and what comes of them becomes answers.

Owns: what each command asks for, and who waits for what. Runs in: master. Must not know: connections beyond `Client.tell`, what
an event changes (see `transitions`).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from prefork.ipc import control as protocol
from prefork.ipc.control import Progress, Result
from prefork.master import events
from prefork.master.control import Client, ControlSocket
from prefork.master.generations import Generations
from prefork.master.notes import Note
from prefork.master.snapshot import Snapshots
from prefork.master.stackdesk import StackDesk
from prefork.master.stacktaking import StackTaking
from prefork.master.state import Pool, Stop, Worker
from prefork.master.waiting import GenerationWait

_LONGEST_FIELD = 4000

Happen = Callable[[events.Event], None]


class Desk:
    """One for the server."""

    def __init__(
        self,
        control: ControlSocket,
        pool: Pool,
        generations: Generations,
        snapshots: Snapshots,
        stack_taking: StackTaking,
        happen: Happen,
        reopen_logs: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._control = control
        self._pool = pool
        self._generations = generations
        self._snapshots = snapshots
        self._stack_taking = stack_taking
        self._stacks = StackDesk(pool, generations, stack_taking, clock)
        self._happen = happen
        self._reopen_logs = reopen_logs
        self._clock = clock
        self._waiting: list[tuple[Client, GenerationWait]] = []
        self._stopping: list[Client] = []
        self._draining: list[Client] = []
        self._heard: list[Note] | None = None
        """The notes of the command that is being carried out."""
        generations.log.follow(self._hear)

    @property
    def deadline(self) -> float | None:
        """When to call `turn` although nothing happens."""
        times = (self._control.deadline, self._stack_taking.deadline)
        return min((time for time in times if time is not None), default=None)

    @property
    def waiting(self) -> list[int]:
        """Connections of those who wait for an end that is still to come."""
        return [client.sock.fileno() for client, _ in self._waiting if not client.is_gone]

    def adopt(self, fd: int) -> None:
        """Somebody who asked the program before this one for the upgrade, and waits for the generation it brings."""
        self._waiting.append((self._control.adopt(fd), GenerationWait("reload")))

    def turn(self) -> None:
        """Serve whoever has something to ask, or waits for an answer."""
        self._stack_taking.turn()
        for client, request in self._control.take():
            try:
                self._answer(client, request)
            except Exception as error:
                # A fault of ours: the supervisor tells it, and nobody waits for ever.
                client.tell(Result(ok=False, error=f"internal error: {type(error).__name__}: {error}"))
                raise

    # Commands ---------------------------------------------------------------------------------------------------

    def _answer(self, client: Client, request: protocol.AnyRequest) -> None:
        match request:
            case protocol.StatusRequest():
                client.tell(Result(ok=True, data=msgspec.Raw(msgspec.json.encode(self._snapshots.take()))))
            case protocol.StacksRequest():
                self._take_stacks(client, request.worker)
            case protocol.ReopenLogsRequest():
                client.tell(self._done("log files are open anew", self._reopen_logs))
            case protocol.StopRequest():
                self._stop(client, request)
            case _ if self._pool.is_leaving:
                client.tell(Result(ok=False, error="the server is stopping"))
            case protocol.ReloadRequest():
                self._start(client, "reload", events.ReloadAsked(), wait=request.wait)
            case protocol.RollbackRequest():
                self._start(client, "rollback", events.RollbackAsked(), wait=request.wait)
            case protocol.UpgradeRequest():
                self._start(client, "upgrade", events.UpgradeAsked(by="control"), wait=True)
            case protocol.DrainRequest():
                self._drain(client, request)
            case protocol.ScaleRequest():
                client.tell(self._scale(request))
            case protocol.RecycleRequest():
                client.tell(self._recycle(request.worker))
            case protocol.PauseRequest():
                text = "paused" if not self._pool.paused else "it was paused already"
                client.tell(self._done(text, lambda: self._happen(events.PauseAsked())))
            case protocol.ResumeRequest():
                held = self._pool.paused or self._pool.drain is not None
                text = "resumed" if held else "it was neither paused nor drained"
                client.tell(self._done(text, lambda: self._happen(events.ResumeAsked())))

    def _done(self, text: str, do: Callable[[], None]) -> Result:
        """`text`, unless what was done at once led to a complaint."""
        self._heard = []
        try:
            do()
        finally:
            heard, self._heard = self._heard, None
        for note in heard:
            if note.level in ("warning", "error"):
                reason = note.fields.get("error") or note.fields.get("hint") or note.event
                return Result(ok=False, error=str(reason))
        return Result(ok=True, text=text)

    def _start(self, client: Client, what: str, event: events.Event, *, wait: bool) -> None:
        if wait:
            self._waiting.append((client, GenerationWait(what)))
            self._happen(event)
        else:
            queued = " (after the one that is going on)" if self._pool.candidate is not None else ""
            client.tell(self._done(f"{what} begins{queued}", lambda: self._happen(event)))

    def _scale(self, request: protocol.ScaleRequest) -> Result:
        if (request.to is None) == (request.by is None):
            return Result(ok=False, error='one of "to" and "by" is needed')
        if self._pool.paused:
            self._happen(events.ResumeAsked())
        before = self._pool.target
        if request.to is not None:
            asked: events.Event = events.ScaleTo(request.to)
        else:
            asked = events.ScaleAsked(request.by or 0)
        if request.by == 0 or request.to == before:
            return Result(ok=True, text=f"workers: {before}, as before")
        result = self._done("", lambda: self._happen(asked))
        if not result.ok:
            return result
        after, wanted = self._pool.target, before + (request.by or 0) if request.to is None else request.to
        bound = "" if after == wanted else ", the least" if after > wanted else ", the most"
        return Result(ok=True, text=f"workers: {after}{bound}")

    def _recycle(self, number: int | None) -> Result:
        serving = [worker for worker in self._in_slot(number) if worker.ready_at is not None]
        if not serving:
            return self._no_worker(number)
        text = "one after the other" if len(serving) > 1 else f"worker {serving[0].slot}"
        return self._done(f"recycling begins: {text}", lambda: self._happen(events.RecycleAsked(number)))

    def _stop(self, client: Client, request: protocol.StopRequest) -> None:
        """The result is what `close` of the control socket says."""
        self._stopping.append(client)
        if request.fast or self._pool.stop is Stop.NO:
            self._happen(events.StopAsked(fast=request.fast, by="control", delay_s=request.delay_s))

    def _drain(self, client: Client, request: protocol.DrainRequest) -> None:
        event = events.DrainAsked(request.delay_s, by="control")
        if request.wait:
            self._draining.append(client)
            self._happen(event)
        else:
            client.tell(
                self._done("draining: not ready any more, and serving on", lambda: self._happen(event))
            )

    def _hear_drain(self, note: Note) -> None:
        """Tell those who wait for the end of a drain."""
        for client in self._draining:
            if note.event == "drained":
                client.tell(
                    Result(ok=True, text="drained: not ready any more, and serving on until it is stopped")
                )
            elif note.event == "drain_ended":
                client.tell(Result(ok=False, error="somebody resumed the server"))
            elif note.event == "stopping":
                client.tell(Result(ok=False, error="the server stops before its drain is over"))
            else:
                client.tell(_progress(note))
        self._draining = [client for client in self._draining if not client.is_gone and not client.finished]

    # Stacks -----------------------------------------------------------------------------------------------------

    def _take_stacks(self, client: Client, number: int | None) -> None:
        workers = [worker for worker in self._in_slot(number) if worker.pid is not None]
        if not workers:
            client.tell(self._no_worker(number))
            return
        self._stacks.answer(client, workers)

    def _in_slot(self, number: int | None) -> list[Worker]:
        workers = self._pool.workers.values()
        return sorted((w for w in workers if number in (None, w.slot)), key=lambda w: (w.slot, w.id))

    def _no_worker(self, number: int | None) -> Result:
        numbers = ", ".join(str(each) for each in sorted({w.slot for w in self._pool.workers.values()}))
        what = "there are no workers" if number is None else f"there is no worker {number}"
        return Result(ok=False, error=f"{what}{f' (workers: {numbers})' if numbers else ''}")

    # What the master tells --------------------------------------------------------------------------------------

    def _hear(self, note: Note) -> None:
        if self._heard is not None:
            self._heard.append(note)
        if note.level == "debug":
            return
        self._hear_drain(note)
        for client in self._stopping:
            client.tell(_progress(note))
        for client, waiting in list(self._waiting):
            result = waiting.hear(note)
            client.tell(_progress(note))
            if result is not None:
                client.tell(result)
                self._waiting.remove((client, waiting))
        self._waiting = [(client, waiting) for client, waiting in self._waiting if not client.is_gone]
        self._stopping = [client for client in self._stopping if not client.is_gone]


def _progress(note: Note) -> Progress:
    fields = {key: _bounded(value) for key, value in note.fields.items() if value is not None}
    return Progress(level=note.level, event=note.event, fields=fields)


def _bounded(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST_FIELD else f"{text[:_LONGEST_FIELD]}..."
