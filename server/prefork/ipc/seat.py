"""A seat of the scoreboard: one thread of one worker, and the request it runs.

Owns: the fields of a seat, writing them (worker, the thread that sits there) and reading them (master). Runs in: worker,
master. Must not know: what is done with them.

Steps are numbered: each request, and each time that a thread takes up a response it had to leave because its client was
slow. The number is written before and after the rest of the step, which makes it the sequence counter for readers too. A step
is running while its number is not the one that was finished last.
"""

from __future__ import annotations

import mmap
import struct
import threading
import time
from typing import NamedTuple

SEAT_BYTES = 2048
"""Half of it is room for histograms."""

_LINE, _CLIENT = 256, 64

_STEP = struct.Struct(f"@QQQ{_LINE}s{_CLIENT}sQ")
"""began, progress (nanoseconds of CLOCK_MONOTONIC), extension (nanoseconds), request line, client, number."""
_STEP_AT = 8
"""Behind the number, which is written alone: `pack_into` zeroes all it is going to write first, in no certain order."""

# Indexes of eight bytes into a seat.
_NUMBER_BEFORE, _PROGRESS, _EXTENSION = 0, 2, 3
_THREAD = 48
_WANTED = 49
_FINISHED = 64
_CLASSES = 64
"""Responses by the first digit of their status, 1 to 5, follow at `_CLASSES + digit`."""
_BYTES_OUT, _BUSY, _EXCEPTIONS, _SHED = 74, 75, 76, 77

_COUNTERS = struct.Struct("@5Q32x4Q")
"""Between them, what applications may answer beyond 599: counted, so that it goes nowhere else, and not shown."""
_NUMBER = struct.Struct("@Q")

_monotonic_ns = time.monotonic_ns


class Running(NamedTuple):
    """A step that a thread is at, as a reader finds it. Times are nanoseconds of CLOCK_MONOTONIC."""

    seat: int
    number: int
    """Which step of this seat it is."""
    began_ns: int
    progress_ns: int
    """When the application last gave a piece of its response, or began."""
    extension_ns: int
    """By how much the application has moved its own time limits."""
    line: str
    client: str
    thread: int
    """threading.get_ident()."""


class Totals(NamedTuple):
    """What has been counted since the start."""

    status_1xx: int = 0
    status_2xx: int = 0
    status_3xx: int = 0
    status_4xx: int = 0
    status_5xx: int = 0
    bytes_out: int = 0
    """Of bodies."""
    busy_ns: int = 0
    """Time that threads spent on requests."""
    exceptions: int = 0
    """Raised by the application."""
    shed: int = 0
    """Turned away because they had waited too long."""

    @property
    def requests(self) -> int:
        """All that were answered."""
        return sum(self[:5])

    def __add__(self, other: tuple[int, ...]) -> Totals:  # type: ignore[override]
        return Totals(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))


class Seat:
    """Written by the thread that sits here and nobody else; `wanted` is the master's."""

    __slots__ = ("_began_ns", "_fields", "_memory", "_step_at", "number")

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._step_at = at + _STEP_AT
        self._fields = memoryview(memory)[at : at + SEAT_BYTES].cast("Q")
        self._began_ns = 0
        self.number = 0
        """Of the step that runs, or ran last."""

    def sit(self, thread: int) -> None:
        """The thread with this ident sits here from now on."""
        self._fields[_THREAD] = thread

    def begin(self, line: str, client: str, extension_ns: int = 0) -> None:
        """A step begins: about 0.3 microseconds."""
        number = self.number = self.number + 1
        now = self._began_ns = _monotonic_ns()
        self._fields[_NUMBER_BEFORE] = number
        _STEP.pack_into(
            self._memory, self._step_at, now, now, extension_ns, line.encode(), client.encode(), number
        )

    def progress(self) -> None:
        """The application has given a piece of its response, and is asked for the next."""
        self._fields[_PROGRESS] = _monotonic_ns()

    def extend(self, by_ns: int) -> None:
        """The step may take so much longer."""
        self._fields[_EXTENSION] += by_ns

    def suspend(self) -> int:
        """The thread leaves the response until its client has read some of it; returns the extension, for whoever resumes."""
        fields = self._fields
        fields[_BUSY] += _monotonic_ns() - self._began_ns
        fields[_FINISHED] = self.number
        return fields[_EXTENSION]

    def finish(self, status: int, body_bytes: int) -> None:
        """The response is out, or given up: about 0.4 microseconds."""
        fields = self._fields
        fields[_CLASSES + status // 100] += 1
        fields[_BYTES_OUT] += body_bytes
        fields[_BUSY] += _monotonic_ns() - self._began_ns
        fields[_FINISHED] = self.number

    def count_exceptions(self, count: int) -> None:
        """The application raised."""
        self._fields[_EXCEPTIONS] += count

    def count_shed(self) -> None:
        """A request was turned away."""
        self._fields[_SHED] += 1

    @property
    def wanted(self) -> int:
        """The number of the step that the master wants interrupted."""
        return self._fields[_WANTED]

    @staticmethod
    def mark_wanted(memory: mmap.mmap, at: int, number: int) -> None:
        """For the master: set `wanted` of the seat at `at`."""
        _NUMBER.pack_into(memory, at + 8 * _WANTED, number)


class _Here(threading.local):
    """Each thread's own seat; one that nobody else sees until it is given a place on the scoreboard."""

    def __init__(self) -> None:
        self.seat = Seat(mmap.mmap(-1, SEAT_BYTES), 0)


here = _Here()
"""`here.seat`: where the calling thread sits."""


# readers ------------------------------------------------------------------------------------------------------------

_ATTEMPTS = 8
"""A step is written in a third of a microsecond; whoever finds it half written this often reads a dead writer's."""


def read_running(memory: mmap.mmap, at: int, index: int) -> Running | None:
    """The step that runs at the seat at `at`; None if there is none, or if it changed all the time."""
    for _ in range(_ATTEMPTS):
        # The writer goes from the first counter to the last, the reader from the last to the first.
        (after,) = _NUMBER.unpack_from(memory, at + _STEP_AT + _STEP.size - 8)
        (finished,) = _NUMBER.unpack_from(memory, at + 8 * _FINISHED)
        if after == finished:
            return None
        began, progress, extension, line, client, _ = _STEP.unpack_from(memory, at + _STEP_AT)
        (thread,) = _NUMBER.unpack_from(memory, at + 8 * _THREAD)
        (before,) = _NUMBER.unpack_from(memory, at)
        if before == after:
            return Running(index, after, began, progress, extension, _text(line), _text(client), thread)
    return None


def read_totals(memory: mmap.mmap, at: int) -> Totals:
    """The counters of the seat at `at`."""
    return Totals(*_COUNTERS.unpack_from(memory, at + 8 * (_CLASSES + 1)))


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("utf-8", "replace")
