"""Work after a response, as executors see it: the connection first, then the work; the thread is busy until it is done."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from prefork.worker.executors import InlineExecutor, Leftovers, Step, ThreadExecutor
from support.deadline import DEADLINE_S


class Work:
    line = "GET / HTTP/1.1"

    def __init__(self, at_rest: bool, run: Callable[[], None]) -> None:
        self.at_rest = at_rest
        self.run = run


class Task:
    """What a connection is to an executor."""

    def __init__(self, leaves: Leftovers, happened: list[str]) -> None:
        self._leaves = leaves
        self._happened = happened

    def perform(self, step: Step) -> bool | Leftovers:
        return self._leaves

    def settle(self) -> None:
        self._happened.append("settled")


@pytest.mark.parametrize("at_rest", [True, False])
def test_inline(at_rest: bool) -> None:
    happened: list[str] = []
    InlineExecutor().run(Task(Work(at_rest, lambda: happened.append("ran")), happened), Step.RESPOND)
    assert happened == (["ran"] if at_rest else ["settled", "ran"])


@pytest.mark.parametrize("at_rest", [True, False])
def test_pool(at_rest: bool) -> None:
    """The loop may wait for nothing else than this thread: it is woken when the thread is free, not before."""
    happened: list[str] = []
    posted: queue.SimpleQueue[tuple[Callable[[], None], bool]] = queue.SimpleQueue()
    gate = threading.Event()

    def wait() -> None:
        assert gate.wait(DEADLINE_S)

    executor = ThreadExecutor(1, lambda action: posted.put((action, executor.idle)), lambda: None)
    executor.run(Task(Work(at_rest, wait), happened), Step.RESPOND)
    if not at_rest:
        action, idle = posted.get(timeout=DEADLINE_S)
        action()
        assert (happened, idle) == (["settled"], False)
    assert posted.empty()
    assert executor.saturated
    gate.set()
    _, idle = posted.get(timeout=DEADLINE_S)
    assert idle
    executor.close()
