"""What the seats of the scoreboard count, as numbers that can be added up.

Owns: the counters, their order in memory, reading them. Runs in: worker (the order), master. Must not know: who writes them,
where in the memory they lie.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from mmap import mmap
from operator import add
from typing import Any, NamedTuple

from prefork.ipc.histogram import BUCKETS, merge

# The order of a seat's counters, eight bytes each.
CLASSES = 0
"""Responses by the first digit of their status: 1 to 5, then what applications may answer beyond 599: counted, so that it goes
nowhere else, and not shown."""
BYTES_IN, BYTES_OUT, BUSY, EXCEPTIONS, SHED, QUEUED_SUM = range(9, 15)
DURATION = 15
"""BUCKETS numbers, see `prefork.ipc.histogram`."""
QUEUED = DURATION + BUCKETS
COUNTERS = QUEUED + BUCKETS

_COUNTERS = struct.Struct(f"@{COUNTERS}Q")

COUNTERS_BYTES = _COUNTERS.size


class Totals(NamedTuple):
    """What has been counted since the start."""

    status_1xx: int = 0
    status_2xx: int = 0
    status_3xx: int = 0
    status_4xx: int = 0
    status_5xx: int = 0
    bytes_in: int = 0
    """Of the bodies of requests."""
    bytes_out: int = 0
    """Of the bodies of responses."""
    busy_ns: int = 0
    """Time that threads spent on requests."""
    exceptions: int = 0
    """Raised by the application."""
    shed: int = 0
    """Turned away because they had waited too long."""
    queued_ns: int = 0
    """Time that requests waited for a thread."""
    connections: int = 0
    """Accepted."""
    duration: tuple[int, ...] = ()
    """A histogram of the time from a request's turn to the end of its response."""
    queued: tuple[int, ...] = ()
    """A histogram of the time until it was a request's turn."""

    @property
    def requests(self) -> int:
        """All that were answered."""
        return sum(self[:5])

    def __add__(self, other: tuple[object, ...]) -> Totals:
        assert isinstance(other, Totals)
        histograms = merge(self.duration, other.duration), merge(self.queued, other.queued)
        return Totals._make([*map(add, self[:12], other[:12]), *map(tuple, histograms)])


def read_counters(memory: mmap, places: Sequence[int]) -> list[int]:
    """The sums of the counters at these places."""
    sums: list[int] | tuple[int, ...] = [0] * COUNTERS
    for at in places:
        sums = list(map(add, sums, _COUNTERS.unpack_from(memory, at)))
    return list(sums)


def write_counters(memory: mmap, at: int, counters: Sequence[int]) -> None:
    """Bounded: an application could have written anything where they come from."""
    _COUNTERS.pack_into(memory, at, *(count & 0xFFFFFFFFFFFFFFFF for count in counters))


def totals(counters: Sequence[int], connections: int) -> Totals:
    """Counters by their names."""
    numbers = [*counters[CLASSES : CLASSES + 5], *counters[BYTES_IN:DURATION], connections]
    return Totals._make([*numbers, tuple(counters[DURATION:QUEUED]), tuple(counters[QUEUED:COUNTERS])])


def counters_by_name(counted: Mapping[str, Any]) -> tuple[list[int], int]:
    """The other way: (counters, connections) of `Totals._asdict()`, perhaps of another release. What it does not have is 0,
    and so is a histogram with other buckets."""
    numbers = [max(int(counted.get(name, 0)), 0) for name in Totals._fields[:12]]
    histograms = [
        [max(int(each), 0) for each in found] if len(found) == BUCKETS else [0] * BUCKETS
        for found in (counted.get(name, ()) for name in ("duration", "queued"))
    ]
    unnamed = [0] * (BYTES_IN - 5)
    return [*numbers[:5], *unnamed, *numbers[5:11], *histograms[0], *histograms[1]], numbers[11]
