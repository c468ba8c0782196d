"""Both executors: in order, saturated when every thread is busy, and nothing kept of what they ran."""

from __future__ import annotations

import gc
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefork.worker.executors import GrowingExecutor, InlineExecutor, Step, ThreadExecutor
from support.deadline import DEADLINE_S, SLOWNESS, eventually

WAIT_S = DEADLINE_S * SLOWNESS


class Task:
    """Stays in `perform` until it may go."""

    def __init__(self, *, at_rest: bool = False) -> None:
        self.at_rest = at_rest
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.calls: list[tuple[str, Any, str]] = []

    def perform(self, step: Step) -> bool:
        self.calls.append(("perform", step, threading.current_thread().name))
        self.began.set()
        assert self.may_end.wait(WAIT_S)
        return self.at_rest

    def settle(self) -> None:
        self.calls.append(("settle", None, threading.current_thread().name))


def free(task: Task) -> Task:
    task.may_end.set()
    return task


@pytest.mark.parametrize("at_rest", [False, True])
def test_inline_runs_and_settles_at_once(at_rest: bool) -> None:
    executor = InlineExecutor()
    task = free(Task(at_rest=at_rest))
    executor.run(task, Step.RESUME)
    here = threading.current_thread().name
    assert task.calls == [("perform", Step.RESUME, here)] + ([] if at_rest else [("settle", None, here)])
    assert not executor.saturated
    assert executor.idle
    executor.close()


class Pool:
    """A ThreadExecutor and the loop it reports to."""

    def __init__(self, threads: int) -> None:
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.frees = 0
        self.executor = ThreadExecutor(threads, self.posted.put, self.on_free)

    def on_free(self) -> None:
        self.frees += 1

    def run_posted(self) -> None:
        """Waits for one thing that was posted and does it."""
        self.posted.get(timeout=WAIT_S)()


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(2)
    yield made
    made.executor.close()
    for member in made.executor._members:
        member.join(WAIT_S)
        assert not member.is_alive()


def test_pool_threads_perform_and_the_loop_settles(pool: Pool) -> None:
    task = free(Task())
    pool.executor.run(task, Step.RESPOND)
    pool.run_posted()
    (perform, settle) = task.calls
    assert perform[:2] == ("perform", Step.RESPOND)
    assert perform[2].startswith("prefork-")
    assert settle == ("settle", None, threading.current_thread().name)
    assert pool.executor.idle


def test_a_task_at_rest_is_not_settled(pool: Pool) -> None:
    task = free(Task(at_rest=True))
    pool.executor.run(task, Step.RESPOND)
    eventually(lambda: pool.executor.idle, "the end of the task")
    assert pool.posted.empty()


def test_saturated_when_every_thread_has_work(pool: Pool) -> None:
    tasks = [Task(), Task()]
    assert not pool.executor.saturated
    pool.executor.run(tasks[0], Step.RESPOND)
    assert not pool.executor.saturated
    assert not pool.executor.idle
    pool.executor.run(tasks[1], Step.RESPOND)
    assert pool.executor.saturated
    for task in tasks:
        assert task.began.wait(WAIT_S)
    free(tasks[0])
    pool.run_posted()
    assert not pool.executor.saturated
    free(tasks[1])
    pool.run_posted()
    assert pool.executor.idle


def test_tasks_begin_in_order(pool: Pool) -> None:
    blockers = [Task(), Task()]
    order: list[int] = []

    class Numbered(Task):
        def __init__(self, number: int) -> None:
            super().__init__(at_rest=True)
            self.number = number

        def perform(self, step: Step) -> bool:
            order.append(self.number)
            return True

    for blocker in blockers:
        pool.executor.run(blocker, Step.RESPOND)
    for number in range(50):
        pool.executor.run(Numbered(number), Step.RESPOND)
    free(blockers[0])
    eventually(lambda: len(order) == 50, "all tasks")
    assert order == list(range(50))
    free(blockers[1])
    eventually(lambda: pool.executor.idle, "the end")


def test_tell_when_free(pool: Pool) -> None:
    tasks = [Task(at_rest=True), Task(at_rest=True)]
    for task in tasks:
        pool.executor.run(task, Step.RESPOND)
    pool.executor.tell_when_free()
    pool.executor.tell_when_free()
    assert pool.frees == 0
    free(tasks[0])
    pool.run_posted()
    assert pool.frees == 1
    free(tasks[1])
    eventually(lambda: pool.executor.idle, "the end of the second task")
    assert pool.posted.empty()
    assert pool.frees == 1


def test_tell_when_free_at_once_when_a_thread_is_free(pool: Pool) -> None:
    pool.executor.tell_when_free()
    assert pool.frees == 1


def test_work_waiting_in_the_queue_is_no_free_thread(pool: Pool) -> None:
    tasks = [Task(at_rest=True) for _ in range(4)]
    for task in tasks:
        pool.executor.run(task, Step.RESPOND)
    pool.executor.tell_when_free()
    free(tasks[0])
    assert tasks[2].began.wait(WAIT_S)
    assert pool.executor.saturated
    assert pool.posted.empty()
    for task in tasks:
        free(task)
    pool.run_posted()
    assert pool.frees == 1
    eventually(lambda: pool.executor.idle, "the end")


@pytest.mark.parametrize("at_rest", [False, True])
def test_an_idle_thread_keeps_nothing(pool: Pool, at_rest: bool) -> None:
    task = free(Task(at_rest=at_rest))
    kept = weakref.ref(task)
    pool.executor.run(task, Step.RESPOND)
    if not at_rest:
        pool.run_posted()
    del task

    def gone() -> bool:
        gc.collect()
        return kept() is None

    eventually(gone, "the end of the task object")


def test_close_lets_running_work_end() -> None:
    pool = Pool(3)
    tasks = [Task() for _ in range(5)]
    for task in tasks:
        pool.executor.run(task, Step.RESPOND)
    pool.executor.close()
    for task in tasks:
        free(task)
    for member in pool.executor._members:
        member.join(WAIT_S)
        assert not member.is_alive()
    assert all(len(task.calls) == 1 for task in tasks)
    assert pool.posted.qsize() == 5


def test_many_threads_lose_no_task() -> None:
    pool = Pool(8)
    done: list[int] = []

    class Quick:
        def perform(self, step: Step) -> bool:
            done.append(1)
            return False

        def settle(self) -> None:
            done.append(2)

    for _ in range(2000):
        pool.executor.run(Quick(), Step.RESPOND)
    for _ in range(2000):
        pool.run_posted()
    assert sorted(done) == [1] * 2000 + [2] * 2000
    assert pool.executor.idle
    pool.executor.close()
    for member in pool.executor._members:
        member.join(WAIT_S)


# Threads on demand ----------------------------------------------------------------------------------------------------


def test_a_growing_pool_has_as_many_threads_as_it_needs() -> None:
    executor = GrowingExecutor(3, lambda action: None, lambda: None)
    assert not executor._members
    tasks = [Task() for _ in range(5)]
    for number, task in enumerate(tasks):
        assert executor.saturated == (number >= 3)
        executor.run(task, Step.RESPOND)
        assert len(executor._members) == min(number + 1, 3)
    for task in tasks:
        assert free(task).began.wait(WAIT_S)
    eventually(lambda: executor.idle, "rest")
    again = free(Task())
    executor.run(again, Step.RESPOND)
    assert again.began.wait(WAIT_S)
    assert len(executor._members) == 3
    assert all(executor.has(int(member.ident or 0)) for member in executor._members)
    assert not executor.has(threading.get_ident())
    executor.close()
    assert executor.join(WAIT_S)


def test_join_does_not_wait_for_ever() -> None:
    pool = Pool(2)
    task = Task()
    pool.executor.run(task, Step.RESPOND)
    assert task.began.wait(WAIT_S)
    pool.executor.close()
    assert not pool.executor.join(0.01)
    free(task)
    assert pool.executor.join(WAIT_S)
