"""Requests that take too long: what is to be done about which one, and when to look again.

Owns: what `slow`, `timeout` and `kill_after` mean. Runs in: master. Pure: the same requests, memory and time give the same
decision. Must not know: where requests are seen (the scoreboard), how a decision is carried out (see `overseer`).

Time counts while the application runs without giving output, less what it has asked for by `prefork.deadline.extend` and less the
time in which the machine stood still (a container that was paused, a virtual machine that was moved). A request
that begins after a look cannot break a limit before the shortest limit has passed, so one look in that time is enough
to be exact, and an idle server is woken once every ten seconds, not ten times a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum, auto
from typing import NamedTuple

import msgspec

from prefork.ipc.seat import Running

REPEAT_S = 1.0
"""An interruption that found its thread in a place where it must not be raised is tried again."""

_NEVER = float("inf")

WATCH_DRAIN_S = 0.2
"""How often to look whether nothing but stuck requests is left in a worker that drains."""


class RequestLimits(msgspec.Struct, frozen=True):
    """Settings of a generation, in seconds; 0: no limit."""

    slow_s: float = 0.0
    timeout_s: float = 0.0
    kill_after_s: float = 0.0

    @property
    def shortest_s(self) -> float | None:
        """The first that a request can break; None if there is none."""
        return min((each for each in (self.slow_s, self.timeout_s) if each), default=None)


class WorkerView(msgspec.Struct, frozen=True):
    """What is to be seen of one worker."""

    id: int
    limits: RequestLimits
    seats: int
    """How many requests it can run at once."""
    connections: int
    """How many it has open."""
    draining: bool
    """Its replacement serves, and it has been told to finish."""
    running: tuple[Running, ...]


class Stage(IntEnum):
    """How far a request has gone."""

    SLOW = auto()
    LATE = auto()
    """It is being interrupted."""
    STUCK = auto()
    """That did not help: its worker is being replaced."""


Key = tuple[int, int, int]
"""Worker, seat, number of the step."""


class Mark(msgspec.Struct):
    """What has been done about one request."""

    stage: Stage
    repeat_at: float = 0.0
    """When to interrupt it once more."""
    stuck_at: float = 0.0
    """When that has not helped."""


class TellSlow(msgspec.Struct, frozen=True):
    """Log the request and its stack."""

    worker: int
    request: Running
    elapsed_s: float


class Interrupt(msgspec.Struct, frozen=True):
    """Raise RequestTimeout in its thread; `again` if that has been tried."""

    worker: int
    request: Running
    elapsed_s: float
    again: bool = False


class ReplaceWorker(msgspec.Struct, frozen=True):
    """It cannot be interrupted: log it with its stack, and have the worker replaced."""

    worker: int
    request: Running
    elapsed_s: float


class EndWorker(msgspec.Struct, frozen=True):
    """Nothing but stuck requests is left in the worker."""

    worker: int
    why: str


Decision = TellSlow | Interrupt | ReplaceWorker | EndWorker


class StandStill(NamedTuple):
    """The application could do nothing from one time to the other."""

    since: float
    until: float


class Watch(msgspec.Struct):
    """The memory between two looks."""

    marks: dict[Key, Mark] = msgspec.field(default_factory=dict)
    stand_stills: list[StandStill] = msgspec.field(default_factory=list)
    """Those that a running request has seen."""
    next_look: float | None = 0.0
    """When to look again; None: no limit can be broken."""


def elapsed_s(watch: Watch, request: Running, now: float) -> float:
    """For how long the application has run without giving output, extensions and stand-stills deducted. Never negative."""
    return max(0.0, now - _counts_from(watch, request))


def _counts_from(watch: Watch, request: Running) -> float:
    progress_at = request.progress_ns / 1e9
    stood_still_s = sum(max(0.0, until - max(since, progress_at)) for since, until in watch.stand_stills)
    return progress_at + request.extension_ns / 1e9 + stood_still_s


def look(
    watch: Watch, workers: Sequence[WorkerView], limits: Iterable[RequestLimits], now: float
) -> list[Decision]:
    """What is due at `now`; notes in `watch` that it is being done, and when to look again.

    `limits` are those of all generations that could begin a request before the next look.
    """
    decisions: list[Decision] = []
    marks: dict[Key, Mark] = {}
    times = [now + each.shortest_s for each in limits if each.shortest_s is not None]
    _forget_stand_stills(watch, workers)
    for worker in workers:
        for request in worker.running:
            key = (worker.id, request.seat, request.number)
            mark = watch.marks.get(key)
            mark = _judge(watch, worker, request, mark, now, decisions)
            if mark is not None:
                marks[key] = mark
            times.append(_next_time(worker.limits, _counts_from(watch, request), mark, now))
        stuck = [each for each in worker.running if _is_stuck(marks.get((worker.id, each.seat, each.number)))]
        if stuck:
            times.append(now + WATCH_DRAIN_S)
            if worker.draining and _is_all_that_is_left(worker, stuck):
                decisions.append(EndWorker(worker.id, _why(watch, worker, stuck, now)))
    watch.marks = marks
    watch.next_look = min((each for each in times if each != _NEVER), default=None)
    return decisions


def _forget_stand_stills(watch: Watch, workers: Sequence[WorkerView]) -> None:
    if watch.stand_stills:
        oldest = min(
            (each.progress_ns / 1e9 for worker in workers for each in worker.running), default=_NEVER
        )
        watch.stand_stills = [each for each in watch.stand_stills if each.until > oldest]


def _judge(
    watch: Watch,
    worker: WorkerView,
    request: Running,
    mark: Mark | None,
    now: float,
    decisions: list[Decision],
) -> Mark | None:
    limits = worker.limits
    elapsed = elapsed_s(watch, request, now)
    if limits.timeout_s and elapsed >= limits.timeout_s:
        if mark is None or mark.stage is Stage.SLOW:
            decisions.append(Interrupt(worker.id, request, elapsed))
            return Mark(Stage.LATE, now + REPEAT_S, now + (limits.kill_after_s or _NEVER))
        if (
            mark.stage is Stage.LATE
            and now >= mark.stuck_at
            and elapsed >= limits.timeout_s + limits.kill_after_s
        ):
            decisions.append(ReplaceWorker(worker.id, request, elapsed))
            return Mark(Stage.STUCK)
        if mark.stage is Stage.LATE and now >= mark.repeat_at:
            decisions.append(Interrupt(worker.id, request, elapsed, again=True))
            return Mark(Stage.LATE, now + REPEAT_S, mark.stuck_at)
    elif mark is None and limits.slow_s and elapsed >= limits.slow_s:
        decisions.append(TellSlow(worker.id, request, elapsed))
        return Mark(Stage.SLOW)
    return mark


def _next_time(limits: RequestLimits, counts_from: float, mark: Mark | None, now: float) -> float:
    """When this request may next need something; _NEVER if nothing limits it any more."""
    times = [_NEVER]
    if mark is None and limits.slow_s:
        times.append(counts_from + limits.slow_s)
    if limits.timeout_s and (mark is None or mark.stage is Stage.SLOW):
        times.append(counts_from + limits.timeout_s)
    if mark is not None and mark.stage is Stage.LATE:
        late_at = counts_from + limits.timeout_s
        times.append(max(mark.repeat_at, late_at))
        times.append(max(mark.stuck_at, late_at + limits.kill_after_s))
    return max(now, min(times))


def _is_stuck(mark: Mark | None) -> bool:
    return mark is not None and mark.stage is Stage.STUCK


def _is_all_that_is_left(worker: WorkerView, stuck: Sequence[Running]) -> bool:
    # With one thread the loop itself is held up: nobody else in there can be answered. With more, a connection that is not
    # a stuck one's is a sibling's.
    return worker.seats == 1 or worker.connections <= len(stuck)


def _why(watch: Watch, worker: WorkerView, stuck: Sequence[Running], now: float) -> str:
    longest = max(stuck, key=lambda each: elapsed_s(watch, each, now))
    more = f" and {len(stuck) - 1} more" if len(stuck) > 1 else ""
    limit = f"kill_after = {worker.limits.kill_after_s:g}s"
    return f"stuck in {longest.line}{more} for {elapsed_s(watch, longest, now):.1f}s, {limit}"
