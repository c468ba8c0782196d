"""Time limits of connections, at a cost that a request does not feel.

Owns: a wheel of one-second buckets. A connection carries its own `deadline` (monotonic seconds) and may move it *later* by plain
assignment: when its bucket comes round it is looked at and put off. Only a deadline that moves *earlier* than its bucket has to
tell the wheel. So a keep-alive connection that is used costs one attribute a request, and an idle worker sleeps until the first
bucket that holds somebody. Runs in the worker, loop thread only. Must not know: sockets, HTTP.
"""

from __future__ import annotations

from typing import Protocol

NEVER = float("inf")
"""A deadline that does not come: the application has the request."""


MAX_DUE = 64
"""Most that are told in one turn. A flood that came within a second also ends within one, and each end costs a system call or
three: what is left is due again in the next turn, after those who have something to say."""


class Timed(Protocol):
    """Something with a deadline."""

    deadline: float
    """Monotonic seconds, NEVER while no limit runs."""
    bucket: float
    """Where the wheel keeps it, 0: nowhere. Only the wheel writes it."""


class DeadlineWheel:
    """Deadlines with a resolution of one second (unless asked for better), never early."""

    __slots__ = ("_buckets", "_recheck_s", "next_at")

    def __init__(self, recheck_s: float) -> None:
        self._buckets: dict[float, set[Timed]] = {}
        self.next_at = NEVER
        """Before that `due` gives nobody (monotonic seconds); NEVER: nobody waits. Only the wheel writes it."""
        self._recheck_s = max(recheck_s, 1.0)
        """How long those with NEVER are put off: at most the shortest limit that another thread may set meanwhile."""

    def watch(self, timed: Timed) -> None:
        """Sees to it that `timed` is looked at once its deadline has passed."""
        deadline = timed.deadline
        if deadline == NEVER:
            return
        key = int(deadline) + 1
        bucket = timed.bucket
        if bucket:
            if bucket <= key:
                return
            self.forget(timed)
        self._put(key, timed)

    def watch_exactly(self, timed: Timed) -> None:
        """As `watch`, for one of a few whose seconds are too long; nothing may be watching it yet."""
        self._put(timed.deadline, timed)

    def forget(self, timed: Timed) -> None:
        """`timed` is gone."""
        key = timed.bucket
        if key:
            timed.bucket = 0
            members = self._buckets[key]
            members.discard(timed)
            if not members:
                del self._buckets[key]
                if key == self.next_at:
                    self.next_at = min(self._buckets, default=NEVER)

    def timeout_s(self, now: float) -> float:
        """Seconds until the next look is due, -1: nobody waits (the argument of epoll_wait(2))."""
        left = self.next_at - now
        if left == NEVER:
            return -1
        return left if left > 0 else 0

    def due(self, now: float) -> list[Timed]:
        """Those whose deadline has passed, at most MAX_DUE; they are no longer watched. The others are put off."""
        expired: list[Timed] = []
        while self.next_at <= now and len(expired) < MAX_DUE:
            members = self._buckets[self.next_at]
            while members and len(expired) < MAX_DUE:
                timed = members.pop()
                timed.bucket = 0
                if timed.deadline <= now:
                    expired.append(timed)
                elif timed.deadline == NEVER:
                    self._put(int(now + self._recheck_s) + 1, timed)
                else:
                    self._put(int(timed.deadline) + 1, timed)
            if not members:
                del self._buckets[self.next_at]
                self.next_at = min(self._buckets, default=NEVER)
        return expired

    def _put(self, key: float, timed: Timed) -> None:
        members = self._buckets.get(key)
        if members is None:
            self._buckets[key] = {timed}
            if key < self.next_at:
                self.next_at = key
        else:
            members.add(timed)
        timed.bucket = key  # last: whoever has no memory for the rest is in no bucket
