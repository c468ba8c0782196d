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
from typing import TYPE_CHECKING, NamedTuple

from prefork.ipc.histogram import LAYOUT as HISTOGRAM_LAYOUT
from prefork.ipc.histogram import bucket
from prefork.ipc.totals import (
    BUSY,
    BYTES_IN,
    BYTES_OUT,
    CLASSES,
    COUNTERS,
    COUNTERS_BYTES,
    DURATION,
    EXCEPTIONS,
    QUEUED,
    QUEUED_SUM,
    SHED,
)
from prefork.speedups import shared

SEAT_BYTES = 2048
"""Most of it are histograms."""

_LINE, _CLIENT = 256, 64

_STEP = struct.Struct(f"@QQQ{_LINE}s{_CLIENT}sQ")
"""began, progress (nanoseconds of CLOCK_MONOTONIC), extension (nanoseconds), request line, client, number."""
_STEP_AT = 8
"""Behind the number, which is written alone: `pack_into` zeroes all it is going to write first, in no certain order."""

# Indexes of eight bytes into a seat.
_NUMBER_BEFORE, _PROGRESS, _EXTENSION = 0, 2, 3
_THREAD, _WANTED, _FINISHED = 45, 46, 47
COUNTERS_AT = 8 * 48
"""Where in a seat its counters begin, see `prefork.ipc.totals`."""
_CLASSES = COUNTERS_AT // 8 + CLASSES - 1
"""Responses by the first digit of their status follow at `_CLASSES + digit`."""
_BYTES_IN, _BYTES_OUT, _BUSY, _EXCEPTIONS, _SHED, _QUEUED_SUM = (
    COUNTERS_AT // 8 + each for each in (BYTES_IN, BYTES_OUT, BUSY, EXCEPTIONS, SHED, QUEUED_SUM)
)
_DURATION, _QUEUED = COUNTERS_AT // 8 + DURATION, COUNTERS_AT // 8 + QUEUED
assert COUNTERS_AT + COUNTERS_BYTES <= SEAT_BYTES

_LAYOUT = (
    *(SEAT_BYTES, _LINE, _CLIENT, _STEP_AT // 8 + _STEP.size // 8 - 1, _THREAD, _WANTED, _FINISHED),
    *(_CLASSES + 1, _BYTES_IN, _DURATION, _QUEUED, COUNTERS_AT // 8 + COUNTERS, *HISTOGRAM_LAYOUT),
)
"""What the compiled twin must have been made for."""

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


class SeatInPython:
    """Written by the thread that sits here and nobody else; `wanted` is the master's."""

    __slots__ = ("_fields", "_memory", "_step_at", "began_ns", "number")

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory = memory
        self._step_at = at + _STEP_AT
        self._fields = memoryview(memory)[at : at + SEAT_BYTES].cast("Q")
        self.began_ns = 0
        """When the step that runs began, or that which ran last."""
        self.number = 0
        """Of the step that runs, or ran last."""

    def sit(self, thread: int) -> None:
        """The thread with this ident sits here from now on."""
        self._fields[_THREAD] = thread

    def begin(self, line: str, client: str, arrived_s: float = 0.0, extension_ns: int = 0) -> int:
        """A step begins. `arrived_s`: since when the request has waited for it, a time of the monotonic clock in seconds; 0.0: it
        is not the first step. Returns how long that is, in nanoseconds."""
        encoded, client_encoded = line.encode(), client.encode()
        number = self.number = self.number + 1
        now = self.began_ns = _monotonic_ns()
        fields = self._fields
        fields[_NUMBER_BEFORE] = number
        _STEP.pack_into(self._memory, self._step_at, now, now, extension_ns, encoded, client_encoded, number)
        if not arrived_s > 0.0:
            return 0
        queued_ns = max(now - int(arrived_s * 1e9), 0)
        fields[_QUEUED_SUM] += queued_ns
        fields[_QUEUED + bucket(queued_ns)] += 1
        return queued_ns

    def progress(self) -> None:
        """The application has given a piece of its response, and is asked for the next."""
        self._fields[_PROGRESS] = _monotonic_ns()

    def extend(self, by_ns: int) -> None:
        """The step may take so much longer."""
        self._fields[_EXTENSION] += by_ns

    def suspend(self) -> int:
        """The thread leaves the response until its client has read some of it; returns the extension, for whoever resumes."""
        fields = self._fields
        fields[_BUSY] += _monotonic_ns() - self.began_ns
        fields[_FINISHED] = self.number
        return fields[_EXTENSION]

    def finish(self, status: int, bytes_out: int, bytes_in: int = 0, began_ns: int = 0) -> None:
        """The response is out, or given up. `began_ns`: when the request had its turn, if that was before this step; in
        nanoseconds of CLOCK_MONOTONIC."""
        fields = self._fields
        now = _monotonic_ns()
        if 100 <= status <= 999:
            fields[_CLASSES + status // 100] += 1
        fields[_BYTES_IN] += bytes_in
        fields[_BYTES_OUT] += bytes_out
        fields[_BUSY] += now - self.began_ns
        fields[_DURATION + bucket(now - (began_ns or self.began_ns))] += 1
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


if TYPE_CHECKING or shared is None:
    Seat = SeatInPython
elif shared.LAYOUT == _LAYOUT:
    Seat = shared.Seat
else:  # it was compiled for another release
    Seat = SeatInPython


class _Here(threading.local):
    """Each thread's own seat; one that nobody else sees until it is given a place on the scoreboard."""

    def __init__(self) -> None:
        self.seat = Seat(mmap.mmap(-1, SEAT_BYTES), 0)


here = _Here()
"""`here.seat`: where the calling thread sits."""


# master -------------------------------------------------------------------------------------------------------------

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


def read_number(memory: mmap.mmap, at: int) -> int:
    """Of the step that runs at the seat at `at`, or ran last: as long as it stays the same, no other has begun."""
    (number,) = _NUMBER.unpack_from(memory, at)
    return int(number)


def mark_wanted(memory: mmap.mmap, at: int, number: int) -> None:
    """Set `wanted` of the seat at `at`."""
    _NUMBER.pack_into(memory, at + 8 * _WANTED, number)


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("utf-8", "replace")
