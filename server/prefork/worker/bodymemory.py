"""The memory of a worker that large request bodies share.

Owns: how much that may be (`[requests] body_memory_shared`), and when what is not needed any more goes back to the system. Runs
in the worker, loop thread. Must not know: bodies (`wsgi.chunks` has the memory).
"""

from __future__ import annotations

from collections.abc import Callable

from prefork.settings.memory import limit_bytes
from prefork.settings.model import Settings
from prefork.settings.thismachine import most_workers
from prefork.worker.loop import EventLoop
from prefork.worker.timers import NEVER
from prefork.wsgi.chunks import ChunkPool

TRIM_S = 10.0
"""Memory that was not needed for so long is given back."""


class BodyMemory:
    """A pool, looked after."""

    def __init__(self, loop: EventLoop, clock: Callable[[], float], bound: Callable[[], int]) -> None:
        self.pool = ChunkPool(bound, self._look_after)
        self._loop = loop
        self._clock = clock
        self.deadline = NEVER
        self.bucket: float = 0

    def _look_after(self) -> None:
        if not self.bucket:
            self.deadline = self._clock() + TRIM_S
            self._loop.watch(self)

    def expire(self) -> None:
        """What was not needed since the last look goes."""
        self.pool.trim()
        if not self.pool.idle:
            self._look_after()


def body_memory(settings: Settings, loop: EventLoop, clock: Callable[[], float]) -> BodyMemory:
    """As the settings have it."""
    shared = settings.requests.body_memory_shared
    # The limits of cgroups are read when they are needed for the first time.
    return BodyMemory(loop, clock, lambda: limit_bytes(shared, most_workers(settings.workers)))
