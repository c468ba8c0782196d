"""Answering for a thread that does not come back.

A thread of the pool that is blocked inside C (a sleep, a lock, a socket) cannot be interrupted. The loop answers 503 in its
place, provided that nothing was sent yet. Who may use the socket is settled by a *claim*, one for each request. The thread takes
it before it touches the socket: for a moment while it reads a piece of the body, for good when it sends the first byte (an
interim response counts). The loop takes it once the thread is overdue, also for good. Whoever comes first has it; the other finds
out by asking, and then leaves the connection alone:

    nobody --thread reads the body--> thread --> nobody
    nobody --thread sends-----------> thread, for good
    nobody --the loop, overdue------> loop, for good: 503 and the end of the connection; the thread's late result is dropped

Owns: the claim, and waiting a moment for an interrupted thread, which may answer by itself. Runs in the worker. Must not know:
HTTP, how threads are interrupted, what the loop answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from prefork.worker.timers import NEVER, Timed

MOMENT_S = 0.5
"""How long an interrupted thread has for an answer of its own: Python code needs milliseconds, and the time of its `finally`."""

_THREAD, _LOOP = 1, 2

ANSWERED = "the request took too long and has been answered"


class Answerable(Protocol):
    """A connection, as seen from here."""

    def answer_instead(self) -> None:
        """Loop thread, which has the claim: answers, and ends the connection."""


class Claim:
    """The right to use the socket of one request.

    No lock: a dict's `setdefault` is one step for all threads, and an exception that arrives between any two byte codes
    (`interruption`) leaves nothing undone, for asking twice gives the same.
    """

    __slots__ = ("_holder", "_whose", "awaited")

    def __init__(self, whose: Answerable) -> None:
        self._whose: Answerable | None = whose
        self._holder: dict[int, int] = {}
        self.awaited = False
        """Loop thread: its thread has had its last warning."""

    def take(self) -> bool:
        """The request's thread: has it from now on, or (False) never again."""
        return self._holder.setdefault(0, _THREAD) == _THREAD

    def use(self, function: Callable[[int], bytes], size: int) -> bytes:
        """The request's thread: calls a function that reads from the socket; afterwards has the claim if it had it before. Raises
        ConnectionAbortedError if the loop has it."""
        held = 0 in self._holder
        if not self.take():
            raise ConnectionAbortedError(ANSWERED)
        try:
            return function(size)
        finally:
            if not held:
                self._holder.clear()

    def revoke(self) -> bool:
        """Loop thread: has it from now on, unless the thread does. True once."""
        return 0 not in self._holder and self._holder.setdefault(0, _LOOP) == _LOOP

    def answer(self) -> None:
        """Loop thread: answers in the thread's place, if that has not begun."""
        if self.revoke():
            whose, self._whose = self._whose, None
            if whose is not None:
                whose.answer_instead()

    def end(self) -> bool:
        """The request's thread: the response is over. False: the loop has the connection. Keeps nothing alive from here on."""
        if self.take():
            self._whose = None
            return True
        return False


class Takeovers:
    """Those who have been interrupted, and what becomes of them. Loop thread."""

    def __init__(
        self,
        clock: Callable[[], float],
        watch_exactly: Callable[[Timed], None],
        moment_s: float = MOMENT_S,
    ) -> None:
        self._clock = clock
        self._watch_exactly = watch_exactly
        self._moment_s = moment_s
        self._awaited: list[tuple[float, Claim]] = []
        self.deadline = NEVER
        self.bucket: float = 0

    def expect(self, claim: Claim) -> None:
        """Its thread has just been interrupted: answers for it in a moment if it does not."""
        if claim.awaited:
            return
        claim.awaited = True
        self._awaited.append((self._clock() + self._moment_s, claim))
        self._wait()

    def expire(self) -> None:
        """The moment of at least one is over."""
        now = self._clock()
        due = [claim for deadline, claim in self._awaited if deadline <= now]
        self._awaited = [each for each in self._awaited if each[0] > now]
        for claim in due:
            claim.answer()
        self._wait()

    def _wait(self) -> None:
        if self._awaited and not self.bucket:
            self.deadline = self._awaited[0][0]
            self._watch_exactly(self)
