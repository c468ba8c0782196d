"""Large responses that their clients do not read go to disk, a little at a time.

Owns: when (a client has a moment first), and how much in one turn of the loop for all connections together, so that a 30 MB
response to a client that sleeps delays nobody. Runs in the worker, loop thread. Must not know: how responses are stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from prefork.worker.timers import NEVER, Timed

MOMENT_S = 1.0
"""How long a response may stay where it is: in memory, where the application has put it."""

TURN_BYTES = 256 * 1024
"""Moved in one turn: well under a millisecond."""


class Spillable(Protocol):
    """A connection, as seen from here."""

    def spill(self, most: int) -> bool:
        """Moves at most `most` bytes. True: there are more, and they still wait."""


class Spiller:
    """Those who have more in memory than they may keep."""

    def __init__(
        self,
        clock: Callable[[], float],
        watch: Callable[[Timed], None],
        defer: Callable[[Callable[[], None]], None],
    ) -> None:
        self._clock = clock
        self._watch = watch
        self._defer = defer
        self._waiting: deque[tuple[float, Spillable]] = deque()
        self._moving: deque[Spillable] = deque()
        self.deadline = NEVER
        self.bucket: float = 0

    def add(self, connection: Spillable) -> None:
        """It has too much in memory, and its client has not taken it at once."""
        self._waiting.append((self._clock() + MOMENT_S, connection))
        self._wait()

    def expire(self) -> None:
        """The moment of at least one is over."""
        now = self._clock()
        idle = not self._moving
        while self._waiting and self._waiting[0][0] <= now:
            self._moving.append(self._waiting.popleft()[1])
        if idle and self._moving:
            self._defer(self._move)
        self._wait()

    def _wait(self) -> None:
        if self._waiting:
            self.deadline = self._waiting[0][0]
            self._watch(self)

    def _move(self) -> None:
        connection = self._moving.popleft()
        if connection.spill(TURN_BYTES):
            self._moving.append(connection)
        if self._moving:
            self._defer(self._move)
