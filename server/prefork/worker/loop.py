"""The event loop of a worker: waits on descriptors, deadlines and other threads, and calls back.

Owns: the epoll set, the deadline wheel, the queue by which executor threads reach the loop. Runs in the worker, main thread;
only `post` may be called from other threads. Must not know: HTTP, WSGI, what the descriptors are.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable

from prefork.worker.timers import NEVER, DeadlineWheel

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
LISTEN = select.EPOLLIN | select.EPOLLEXCLUSIVE
"""Listeners are shared by all workers: the kernel wakes one of those that wait, not the herd (epoll_ctl(2))."""

MAX_EVENTS = 256

AT_ONCE_S = 0.0005
"""A wait that was longer found nothing when it began."""

Callback = Callable[[int], None]


class EventLoop:
    """One turn: wait, dispatch, deferred work, expired deadlines, `on_turn`."""

    __slots__ = (
        "_ahead",
        "_callbacks",
        "_clock",
        "_deferred",
        "_epoll",
        "_posted",
        "_running",
        "_wake_fd",
        "_wheel",
        "behind_s",
        "forget",
        "now",
        "watch",
        "watch_exactly",
    )

    def __init__(self, clock: Callable[[], float], recheck_s: float) -> None:
        self._clock = clock
        self.now = clock()
        """Monotonic seconds at the start of this turn."""
        self.behind_s = 0.0
        """What was found in this turn may have been there for so long; 0.0: it came while the loop waited."""
        self._wheel = DeadlineWheel(recheck_s)
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._posted: deque[Callable[[], None]] = deque()
        self._deferred: deque[Callable[[], None]] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._running = False
        self._ahead: dict[int, Callable[[], None]] = {}
        self.watch = self._wheel.watch
        """watch(timed): see to its deadline."""
        self.watch_exactly = self._wheel.watch_exactly
        """As `watch`, to the millisecond instead of the second."""
        self.forget = self._wheel.forget
        self.add(self._wake_fd, READ, self._on_wake)

    def fileno(self) -> int:
        """Of the epoll set, for a compiled twin of `add` and `remove`."""
        return self._epoll.fileno()

    # Descriptors ------------------------------------------------------------------------------------------------

    def add(self, fd: int, events: int, callback: Callback, ahead: Callable[[], None] | None = None) -> None:
        """Calls `callback(event mask)` in each turn in which `fd` is ready (level-triggered).

        `ahead` is called before anything else in a turn in which `fd` is ready and there is other work. Raises OSError: no
        memory, or as many watches as the user may have (ENOSPC; epoll_ctl(2), fs.epoll.max_user_watches).
        """
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback
        if ahead is not None:
            self._ahead[fd] = ahead

    def modify(self, fd: int, events: int) -> None:
        """Changes what `fd` is watched for."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Watches `fd` no longer. To be called before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._ahead.pop(fd, None)
            self._epoll.unregister(fd)

    # Work for later ---------------------------------------------------------------------------------------------

    def defer(self, action: Callable[[], None]) -> None:
        """Runs `action` in the next turn, after the descriptors that are ready then had theirs. Loop thread only."""
        self._deferred.append(action)

    def post(self, action: Callable[[], None]) -> None:
        """Runs `action` in the loop thread, soon. Any thread."""
        self._posted.append(action)
        os.eventfd_write(self._wake_fd, 1)

    def _on_wake(self, _events: int) -> None:
        try:
            os.eventfd_read(self._wake_fd)
        except BlockingIOError:
            return
        posted = self._posted
        while posted:
            posted.popleft()()

    # The loop ---------------------------------------------------------------------------------------------------

    def run(self, on_turn: Callable[[], None], on_wake: Callable[[], float] = lambda: NEVER) -> None:
        """Turns until `stop`. `on_turn` is called last in each turn, `on_wake` before any other callback: in the first turn, and
        in the first one after the seconds that it returns."""
        self._running = True
        wake_at = 0.0
        poll, callbacks, wheel, clock = self._epoll.poll, self._callbacks, self._wheel, self._clock
        deferred, ahead = self._deferred, self._ahead
        while self._running:
            before = clock()
            events = poll(0 if deferred else wheel.timeout_s(before), MAX_EVENTS)
            # Deadlines are judged by the time at which the events were fetched: bytes that came while the application had
            # the thread are seen before anybody is called late.
            last, self.now = self.now, clock()
            now = self.now
            self.behind_s = before - last if now - before < AT_ONCE_S else 0.0
            if now >= wake_at:
                wake_at = now + on_wake()
            if len(events) > 1 or deferred:
                for fd, _mask in events:
                    if fd in ahead:
                        ahead[fd]()
            for fd, mask in events:
                callback = callbacks.get(fd)
                if callback is not None:
                    callback(mask)
            for _ in range(len(deferred)):
                deferred.popleft()()
            if now >= wheel.next_at:
                for timed in wheel.due(now):
                    timed.expire()  # type: ignore[attr-defined]
            on_turn()

    def stop(self) -> None:
        """Ends `run` after this turn."""
        self._running = False

    def close(self) -> None:
        """Gives the descriptors of the loop itself back."""
        self._epoll.close()
        os.close(self._wake_fd)
        self._callbacks.clear()
