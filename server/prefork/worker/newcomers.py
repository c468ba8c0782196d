"""When new connections have their turn at a worker whose threads work, but are never free.

Its other clients keep the threads busy, so it has left the listeners: a worker with a free thread shall have newcomers first. But
all workers may be like that, and then newcomers must not wait longer than those who are connected.

Owns: the decision, from time and from what the threads have finished. Pure. Runs in the worker, loop thread. Must not know:
listeners, how many newcomers are taken.
"""

from __future__ import annotations

from prefork.worker.timers import NEVER

PATIENCE_S = 0.001
"""How long newcomers are left to the others. Another worker that has a free thread is awake by then."""

MAX_PATIENCE_S = 0.008
"""Each look that finds nobody doubles the time to the next, up to this."""

STALE_S = 0.2
"""Who has listened for so long owes nobody a turn: newcomers would have been accepted."""


class Turn:
    """Of the newcomers of one worker. Times are monotonic seconds."""

    __slots__ = ("_finished", "_patience_s", "at")

    def __init__(self) -> None:
        self.at = NEVER
        """Not due before that: to be compared in each turn of the loop, without a call. Only written here."""
        self._finished = 0
        self._patience_s = PATIENCE_S

    def begin(self, now: float, finished: int) -> None:
        """The worker waits for a thread, `finished` steps are done. Once for all moments in which a thread is free too shortly to
        accept anybody."""
        if self.at == NEVER:
            self._patience_s = PATIENCE_S
            self.at = now + PATIENCE_S
            self._finished = finished

    def stopped_listening(self, now: float, since: float) -> None:
        """The worker has listened since then."""
        if now - since > STALE_S:
            self.at = NEVER

    def accepted(self) -> None:
        """A newcomer has come in as usual."""
        self.at = NEVER

    def is_due(self, now: float, finished: int) -> bool:
        """Whether to look for them. Never while the threads finish nothing: others may take them."""
        return now >= self.at and finished != self._finished

    def looked(self, now: float, finished: int, found: bool) -> None:
        """So it was."""
        self._patience_s = PATIENCE_S if found else min(2 * self._patience_s, MAX_PATIENCE_S)
        self.at = now + self._patience_s
        self._finished = finished
