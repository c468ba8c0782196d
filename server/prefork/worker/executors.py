"""Who runs the application: the loop's own thread, or a pool of threads.

Owns: the two executors and the rule of when a worker may take more work (`saturated`). An executor gets a connection that holds a
complete request, and hands it back. Runs in the worker. Must not know: HTTP, WSGI, epoll.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum
from queue import SimpleQueue
from typing import Protocol

from prefork.ipc.seat import here


class Step(Enum):
    """What the application is to do next for a connection."""

    RESPOND = "respond"
    """Serve the complete request."""
    PROCEED = "proceed"
    """The application has been called already (see `fastpath`): go on with what it returned."""
    RESUME = "resume"
    """The socket has room again: go on with the body."""
    ABANDON = "abandon"
    """The client is gone: call close() and log."""


class Leftovers(Protocol):
    """Work that a request left behind (`prefork.after_response`)."""

    at_rest: bool
    """What `perform` would have said without it."""
    line: str
    """The request line of that request."""

    def run(self) -> None:
        """Does the work in this thread; never raises."""


class Task(Protocol):
    """A connection, as an executor sees it."""

    def perform(self, step: Step) -> bool | Leftovers:
        """Runs `step` in this thread. True: the connection is back at rest, nothing is left for the loop to do. With leftovers,
        that is in `at_rest`; the thread runs them once the connection has been passed on, and is busy until then."""

    def settle(self) -> None:
        """Loop thread: does what `perform` left over."""


class Executor(Protocol):
    """Runs steps of connections."""

    @property
    def saturated(self) -> bool:
        """A request that came now would have to wait."""

    @property
    def finished(self) -> int:
        """Steps done so far, to see whether they come to an end."""

    @property
    def idle(self) -> bool:
        """Nothing runs."""

    def run(self, task: Task, step: Step) -> None:
        """Runs `step` for `task`, now or as soon as a thread is free. Loop thread only."""

    def close(self) -> None:
        """No more work will come."""


class InlineExecutor:
    """`threads = 1`: the application runs in the main thread, between two turns of the loop. Cheapest for each request."""

    saturated = False  # whoever asks is the only thread there is, and it is free
    finished = 0  # nobody asks: see `Acceptor`
    idle = True

    def run(self, task: Task, step: Step) -> None:
        """Runs `step` at once."""
        at_rest = task.perform(step)
        if at_rest is True:
            return
        if at_rest is False:
            task.settle()
            return
        if not at_rest.at_rest:
            task.settle()
        _run(at_rest)

    def close(self) -> None:
        """Nothing to give back."""


def _run(leftovers: Leftovers) -> None:
    """On the scoreboard like the request that left them: whoever waits for this thread wants to know for what."""
    seat = here.seat
    seat.begin(leftovers.line, "")
    leftovers.run()
    seat.suspend()


def _look() -> None:
    """Nothing; but a loop that waited only for this thread looks up and sees that it is idle."""


class ThreadExecutor:
    """`threads > 1`: a fixed pool fed through a SimpleQueue."""

    def __init__(
        self,
        threads: int,
        post: Callable[[Callable[[], None]], None],
        on_free: Callable[[], None],
        on_thread: Callable[[int], None] = lambda _index: None,
    ) -> None:
        """`on_thread(index)` is called in each thread before its first work."""
        self._threads = threads
        self._on_thread = on_thread
        self._post = post
        self._on_free = on_free
        self._queue: SimpleQueue[tuple[Task, Step] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._pending = 0
        self._begun = 0
        self._report_free = False
        self._members: list[threading.Thread] = []
        for _ in range(self._first(threads)):
            self._add()

    def _first(self, threads: int) -> int:
        """How many threads there are from the beginning."""
        return threads

    def _add(self) -> None:
        index = len(self._members)
        member = threading.Thread(target=self._work, args=(index,), name=f"prefork-{index + 1}", daemon=True)
        self._members.append(member)
        member.start()

    @property
    def saturated(self) -> bool:
        """Every thread has work."""
        return self._pending >= self._threads

    @property
    def finished(self) -> int:
        """Steps done so far."""
        return self._begun - self._pending

    @property
    def idle(self) -> bool:
        """No thread has work."""
        return self._pending == 0

    def run(self, task: Task, step: Step) -> None:
        """Queues `step`; threads take them in order."""
        with self._lock:
            self._begun += 1
            self._pending += 1
        self._queue.put((task, step))

    def tell_when_free(self) -> None:
        """Calls `on_free` in the loop thread once a thread is free again. Loop thread only."""
        with self._lock:
            if self._pending >= self._threads:
                self._report_free = True
                return
        self._on_free()

    def close(self) -> None:
        """Lets the threads end after the work they have."""
        for _ in self._members:
            self._queue.put(None)

    def join(self, timeout_s: float) -> bool:
        """After `close`: waits for the threads, for so long at most. True: they have ended. Any thread but theirs."""
        end = time.monotonic() + timeout_s
        for member in self._members:
            member.join(max(0.0, end - time.monotonic()))
        return not any(member.is_alive() for member in self._members)

    def has(self, thread: int) -> bool:
        """`thread` (threading.get_ident()) is one of them."""
        return any(member.ident == thread for member in self._members)

    def _work(self, index: int) -> None:
        self._on_thread(index)
        get, lock = self._queue.get, self._lock
        while (item := get()) is not None:
            task, step = item
            at_rest = task.perform(step)
            left_something = False
            if at_rest is not True and at_rest is not False:
                left_something = True
                # The client does not wait for it; the thread is not free before it is done.
                if not at_rest.at_rest:
                    self._post(task.settle)
                _run(at_rest)
                at_rest = True
            with lock:
                self._pending -= 1
                report = self._report_free and self._pending < self._threads
                if report:
                    self._report_free = False
            if not at_rest:
                self._post(task.settle)
            if report:
                self._post(self._on_free)
            elif left_something:
                self._post(_look)
            del task, item  # an idle thread must not keep the last request alive


class GrowingExecutor(ThreadExecutor):
    """As many threads as there are requests at a time, up to a bound."""

    def _first(self, threads: int) -> int:
        return 0

    def run(self, task: Task, step: Step) -> None:
        """Queues `step`, and starts a thread for it if none is free."""
        super().run(task, step)
        # Threads only ever become free meanwhile: at worst there is one more than was needed.
        if len(self._members) < min(self._pending, self._threads):
            self._add()
