"""Turning away what has waited too long: a client that has given up, or soon will, is not worth the work that others wait for.

Owns: the decision (`[requests] queue_timeout`) and telling about it without a flood. How long a request has waited counts from
its last byte's arrival at this machine: the kernel's queues before accept(2) and before recv(2) are part of it (TCP_INFO),
so is the queue of the executor. For unix sockets, where the kernel does not say, it counts from recv(2). Runs in the worker: any
thread judges, the loop thread tells. Must not know: how the client is answered.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from prefork.wsgi.context import EventLog

_TELL_EVERY_S = 1.0


class Shedding:
    """Judges by one limit, in seconds."""

    def __init__(self, limit_s: float, clock: Callable[[], float], log: EventLog) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._log = log
        # An append is atomic, unlike an addition: threads of the pool share this list.
        self._waits_s: list[float] = []
        self._told = clock() - _TELL_EVERY_S
        self.retry_after_s = max(1, math.ceil(limit_s))
        """What clients are told: by then everybody who waits now has been served or turned away."""

    def is_late(self, arrived: float) -> bool:
        """Whether a request that is here since `arrived` must be turned away. Any thread."""
        waited_s = self._clock() - arrived
        if waited_s <= self._limit_s:
            return False
        self._waits_s.append(waited_s)
        return True

    def tell(self, now: float) -> None:
        """At the end of each turn: a line at most once a second, about all of them."""
        if self._waits_s and now >= self._told + _TELL_EVERY_S:
            waits, self._waits_s = self._waits_s, []
            self._told = now
            self._log.warning("requests_shed", count=len(waits), longest_wait_s=round(max(waits), 3))
