"""So many a second, and a few more in a row.

Owns: a token bucket. Pure. Runs in: master. Must not know: what is counted.
"""

from __future__ import annotations


class Allowance:
    """`burst` at once, then `rate` a second."""

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._left = float(burst)
        self._since = 0.0

    def take(self, now: float) -> bool:
        """Whether one more is allowed at `now`; then it has been taken."""
        self._left = min(self._burst, self._left + max(0.0, now - self._since) * self._rate)
        self._since = now
        # What was left out by rounding must not make whoever waits until `next_at` wait once more.
        if self._left < 1.0 - 1e-6:
            return False
        self._left -= 1.0
        return True

    def next_at(self) -> float:
        """When the next one is allowed, after `take` has refused."""
        return self._since + (1.0 - self._left) / self._rate
