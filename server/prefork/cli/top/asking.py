"""Asking the server, beside the screen: neither a slow answer nor a slow measurement holds a key.

Owns: two threads, one that asks for the status again and again, one that runs errands; what they bring is fetched with `take`.
Runs in: cli. Must not know: screens, what answers mean.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import msgspec

from prefork.cli.client import ask_at
from prefork.cli.top.rates import Sample
from prefork.errors import PreforkError
from prefork.ipc.control import Request, Result, StatusRequest
from prefork.ipc.status import Status, decode_status
from prefork.observe.memory import Memory, measure

_PATIENCE_S = 5.0
"""For a status; the master answers in milliseconds, or not at all."""

_SHARE_OF_TIME = 20
"""Measuring memory costs the kernel a walk over all page tables, which the workers wait for: it takes one part in so many."""


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer."""

    why: str


@dataclass(frozen=True, slots=True)
class Done:
    """An errand's end. `what` is what the errand was given as."""

    what: object
    result: Result | None
    """None: no server, see `why`."""
    why: str = ""


News = Sample | Lost | Done


class MemoryWatch:
    """The memory of workers, measured as often as it is cheap."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        measure_one: Callable[[int], Memory | None] = measure,
    ) -> None:
        self._clock = clock
        self._measure = measure_one
        self._known: dict[int, Memory] = {}
        self._next_at = 0.0

    def look(self, status: Status) -> Mapping[int, Memory]:
        """By process number: all of them if it is time, else what is known, and whoever is new."""
        started = self._clock()
        pids = {worker.pid for worker in status.workers if worker.pid is not None}
        due = started >= self._next_at
        self._known = {pid: memory for pid, memory in self._known.items() if pid in pids}
        for pid in pids:
            if due or pid not in self._known:
                found = self._measure(pid)
                if found is not None:
                    self._known[pid] = found
        if due:
            self._next_at = started + _SHARE_OF_TIME * (self._clock() - started)
        return dict(self._known)


def sample(path: str, memory: MemoryWatch, clock: Callable[[], float] = time.monotonic) -> Sample:
    """One answer of the server at `path`. Raises PreforkError."""
    result = ask_at(path, StatusRequest(), timeout_s=_PATIENCE_S)
    if not result.ok:
        raise PreforkError(result.error)
    try:
        status = decode_status(bytes(result.data))
    except msgspec.MsgspecError as error:
        raise PreforkError(f"the status at {path} is not understood: {error}") from None
    return Sample(status, memory.look(status), clock())


class Asking:
    """A context manager. `fd` is readable while `take` has something."""

    def __init__(self, path: str, interval_s: float) -> None:
        self._path = path
        self._interval_s = interval_s
        self._news: SimpleQueue[News] = SimpleQueue()
        self._errands: SimpleQueue[tuple[object, Request]] = SimpleQueue()
        self._stopping = threading.Event()
        self.fd, self._bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Asking:
        # Nobody waits for them at the end: one may be in the middle of a question to a server that does not answer.
        for run in (self._watch, self._run_errands):
            threading.Thread(target=run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()

    def errand(self, what: object, request: Request) -> None:
        """Send a command; its end is told as `Done(what, ...)`."""
        self._errands.put((what, request))

    def take(self) -> list[News]:
        """What came since the last call."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass
        news = []
        while True:
            try:
                news.append(self._news.get_nowait())
            except Empty:
                return news

    def _tell(self, news: News) -> None:
        self._news.put(news)
        try:
            os.write(self._bell, b"!")
        except BlockingIOError:
            pass  # it rings already

    def _watch(self) -> None:
        memory = MemoryWatch()
        due = time.monotonic()
        while not self._stopping.is_set():
            try:
                self._tell(sample(self._path, memory))
            except PreforkError as error:
                self._tell(Lost(str(error)))
            due = max(due + self._interval_s, time.monotonic())
            self._stopping.wait(due - time.monotonic())

    def _run_errands(self) -> None:
        while True:
            what, request = self._errands.get()
            try:
                self._tell(Done(what, ask_at(self._path, request)))
            except PreforkError as error:
                self._tell(Done(what, None, str(error)))
