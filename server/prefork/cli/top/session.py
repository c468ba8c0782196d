"""What `prefork top` knows: from news and keys to a picture.

Owns: the last answers, what was shown of them, messages. Pure but for the clock it is given. Runs in: cli. Must not know:
terminals, threads, drawing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import msgspec

from prefork.cli import stacks, text
from prefork.cli.top.asking import Done, Lost, News
from prefork.cli.top.rates import Rates, Sample, rates
from prefork.cli.top.table import Row, rows
from prefork.cli.top.ui import Effect, Pause, Recycle, Scene, TakeStacks, Ui, press
from prefork.ipc.control import (
    PauseRequest,
    RecycleRequest,
    Request,
    Result,
    ResumeRequest,
    Stack,
    StacksRequest,
)

_MESSAGE_S = 5.0
_TRAIL = 600
"""Values that charts may show."""


class Session:
    """One for the program."""

    def __init__(self, first: Sample, ui: Ui, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.sample = first
        self.rates: Rates | None = None
        self.ui = ui
        self.requests_trail: deque[float] = deque(maxlen=_TRAIL)
        self.p99_trail: deque[float] = deque(maxlen=_TRAIL)
        self.pane_title = ""
        self.pane_lines: list[str] = []
        self._lost: Lost | None = None
        self._message = ""
        self._message_until_s = 0.0

    # news -------------------------------------------------------------------------------------------------------

    def hear(self, news: News) -> None:
        """Something came."""
        match news:
            case Sample():
                self._hear_sample(news)
            case Lost():
                self._lost = news
            case Done(what=TakeStacks(worker=worker)):
                self._hear_stacks(worker, news)
            case Done():
                self.say(self._outcome(news))

    def _hear_sample(self, sample: Sample) -> None:
        before, self.sample = self.sample, sample
        if before.status.pid != sample.status.pid:
            self.say(f"the server was started anew (pid {before.status.pid} before)")
        elif before.status.generation != sample.status.generation:
            self.say(f"generation {sample.status.generation} serves")
        self._lost = None
        self.rates = rates(before, sample)
        if self.rates is not None:
            self.requests_trail.append(self.rates.requests_per_s)
            self.p99_trail.append(self.rates.p99_s or 0.0)

    def _hear_stacks(self, worker: int, done: Done) -> None:
        self.pane_title = f"worker {worker}"
        if done.result is None or not done.result.ok:
            self.pane_lines = [self._outcome(done)]
            return
        lines: list[str] = []
        for stack in msgspec.json.decode(done.result.data, type=list[Stack]):
            lines += [*([""] if lines else []), *self._stack_lines(stack)]
        self.pane_lines = lines

    def _stack_lines(self, stack: Stack) -> list[str]:
        read = stacks.read(stack)
        about = f"pid {stack.pid}, generation {stack.generation}"
        status = next((each for each in self.sample.status.workers if each.pid == stack.pid), None)
        if status is not None:
            about += f", {status.requests or 0} requests, {status.connections} connections"
            about += f", {status.restarts} restarts"
            if status.last_exit:
                about += f", the one before: {text.one_line(status.last_exit)}"
        memory = self.sample.memory.get(stack.pid)
        if memory is not None:
            about += f", rss {text.size(memory.rss)} (private {text.size(memory.private)})"
        return [about, *stacks.lines(read)]

    @staticmethod
    def _outcome(done: Done) -> str:
        result: Result | None = done.result
        if result is None:
            return done.why
        return text.one_line(result.text if result.ok else f"not done: {result.error}")

    # keys -------------------------------------------------------------------------------------------------------

    def press(self, key: str, pane_height: int, pane_length: int) -> Effect | None:
        """A key; what is to be done for it."""
        scene = Scene(self.rows, self.sample.status.state == "paused", pane_height, pane_length)
        self.ui, effect = press(self.ui, key, scene)
        if isinstance(effect, TakeStacks):
            self.pane_title, self.pane_lines = f"worker {effect.worker}", ["asking ..."]
        return effect

    def say(self, message: str) -> None:
        """For a few seconds."""
        self._message, self._message_until_s = message, self._clock() + _MESSAGE_S

    # what is shown ----------------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[Row]:
        """Workers in the order that was chosen."""
        return rows(self.sample, self.rates, self.ui.sort)

    @property
    def message(self) -> str:
        """What there is to say now."""
        return self._message if self._clock() < self._message_until_s else ""

    @property
    def problem(self) -> str:
        """Why there is nothing newer."""
        if self._lost is None:
            return ""
        return f"as it was {text.age(self._clock() - self.sample.at_s)} ago, trying again: {self._lost.why}"


def request_of(effect: Effect) -> Request | None:
    """The command that does it; None if it is nothing for the server."""
    match effect:
        case TakeStacks(worker=worker):
            return StacksRequest(worker=worker)
        case Recycle(worker=worker):
            return RecycleRequest(worker=worker)
        case Pause(on=on):
            return PauseRequest() if on else ResumeRequest()
        case _:
            return None
