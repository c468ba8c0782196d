"""The last minutes, as points of a curve.

Owns: what becomes of two successive statuses: rates and quantiles of the time between them. Pure. Runs in: status process. Must
not know: when statuses are taken.
"""

from __future__ import annotations

from collections import deque

import msgspec

from prefork.ipc.histogram import difference, quantile
from prefork.ipc.status import CountersStatus, Status

KEPT_S = 300.0

MIN_STEP_S = 0.9
"""Statuses that come faster than this are one point together."""

_FIFTH = 4
"""Place of 5xx in `CountersStatus.by_class`."""


class Point(msgspec.Struct, frozen=True):
    """What happened in the time before `at_s`."""

    at_s: float
    """Wall clock, seconds since 1970."""
    step_s: float
    """How long that time was."""
    rate: float
    """Requests a second."""
    errors: float
    """Of these, answered with 5xx."""
    p50_s: float | None
    """Half of the requests took no longer; None: there were none."""
    p99_s: float | None
    wait_p99_s: float | None
    """Of the time until a thread took them."""
    busy: int
    """Threads, at its end."""
    threads: int
    waiting: int
    """Connections that waited to be accepted, at its end."""
    cpu: float
    """CPUs that the workers used, all together."""


class History:
    """Points of the last KEPT_S seconds."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque()
        self._last: tuple[float, Status] | None = None

    def add(self, status: Status, wall_s: float) -> None:
        """A status of now. `wall_s`: the wall clock."""
        if self._last is None or _began_anew(self._last[1], status):
            self._last = (wall_s, status)
            return
        before_s, before = self._last
        step_s = wall_s - before_s
        if 0 <= step_s < MIN_STEP_S:
            return
        self._last = (wall_s, status)
        if step_s < 0:
            # Somebody has set the clock: the curve begins anew.
            self._points.clear()
            return
        self._points.append(_point(before, status, step_s, wall_s))
        while self._points[0].at_s < wall_s - KEPT_S:
            self._points.popleft()

    def since(self, wall_s: float) -> list[Point]:
        """Those after `wall_s`, oldest first."""
        return [point for point in list(self._points) if point.at_s > wall_s]


def _began_anew(before: Status, now: Status) -> bool:
    return before.pid != now.pid or now.uptime_s < before.uptime_s


def _point(before: Status, now: Status, step_s: float, wall_s: float) -> Point:
    earlier, later = before.counters or CountersStatus(), now.counters or CountersStatus()
    took = difference(later.duration, earlier.duration)
    waited = difference(later.queued, earlier.queued)
    return Point(
        at_s=round(wall_s, 3),
        step_s=round(step_s, 3),
        rate=round(max(0, later.requests - earlier.requests) / step_s, 2),
        errors=round(max(0, _errors(later) - _errors(earlier)) / step_s, 2),
        p50_s=_quantile(took, 0.5),
        p99_s=_quantile(took, 0.99),
        wait_p99_s=_quantile(waited, 0.99),
        busy=sum(worker.busy for worker in now.workers),
        threads=sum(worker.threads for worker in now.workers),
        waiting=sum(queue.length for queue in now.queues),
        cpu=round(max(0.0, now.cpu_s - before.cpu_s) / step_s, 3),
    )


def _errors(counters: CountersStatus) -> int:
    return counters.by_class[_FIFTH] if len(counters.by_class) > _FIFTH else 0


def _quantile(counts: list[int], q: float) -> float | None:
    return round(quantile(counts, q), 6) if any(counts) else None
