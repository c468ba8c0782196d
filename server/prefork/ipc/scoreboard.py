"""The scoreboard: shared memory in which every thread of every worker says what it is doing.

Owns: the layout of the memory, who writes which field, and how the master hands out and collects rows. Runs in: master
(`Scoreboard`), worker (`map_row`, and `prefork.ipc.seat`, which writes). Must not know: processes, settings, what a time
limit is.

    page 0      the file: magic, version, sizes, and the counters of workers that are gone
    row         one worker process, from a page boundary on: header, then one *seat* for each of its threads

Every field has one writer. All are aligned and eight bytes wide (texts aside), so that a reader never sees half of one; a
group that belongs together is bracketed by a counter that is written before and after it, and a reader looks again if the two
differ. The memory outlives its writers: what a killed worker had counted stays, except for the request that was running.

Nothing in it is trusted: an application could write anything here. Readers bound and decode; the file cannot be made
shorter (F_SEAL_SHRINK), which would kill whoever has it mapped.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Mapping
from operator import add
from typing import TYPE_CHECKING, Any

import msgspec

from prefork.ipc.seat import COUNTERS_AT, SEAT_BYTES, Running, Seat, mark_wanted, read_number, read_running
from prefork.ipc.totals import (
    COUNTERS,
    COUNTERS_BYTES,
    Totals,
    counters_by_name,
    read_counters,
    totals,
    write_counters,
)
from prefork.speedups import shared

VERSION = 2
"""Of the layout. A worker that knows another one keeps its row to itself."""

MAGIC = b"prefork\0"

PAGE = mmap.ALLOCATIONGRANULARITY
ROW_HEADER_BYTES = 2048
"""With one seat a row is one page."""

_FILE = struct.Struct("@8sQQQQ")
"""magic, version, page, size of a row's header, size of a seat."""

_GONE, _GONE_CONNECTIONS = 512, 512 + COUNTERS_BYTES
"""The counters of workers that are gone, as a seat has them, and how many connections they have accepted."""

_ROW = struct.Struct("@QQQQ")
"""worker id (0: free), seats, number ("worker 2"), generation. Written by the master."""

_WORKERS_PART, _OPEN, _OPENED = 64, 72, 80
"""From here on the header is written by the worker: pid, open connections, connections so far."""

_NUMBER = struct.Struct("@Q")


def row_bytes(seats: int) -> int:
    """What a worker with so many threads takes: whole pages, for it maps nothing else."""
    return -(-(ROW_HEADER_BYTES + seats * SEAT_BYTES) // PAGE) * PAGE


def seats_for(threads: int) -> int:
    """With a pool the loop's thread has a seat too, the last one: it serves files by itself."""
    return threads if threads == 1 else threads + 1


class Place(msgspec.Struct, frozen=True):
    """Where a worker finds its row."""

    fd: int
    offset: int


# worker -------------------------------------------------------------------------------------------------------------


class ConnectionCountsInPython:
    """Two numbers from byte `at` on: written whenever a connection comes or goes, so it has a compiled twin."""

    __slots__ = ("_numbers",)

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        if at < 0 or at % _NUMBER.size or at + 2 * _NUMBER.size > len(memory):
            raise ValueError("no such place in the memory")
        self._numbers = memoryview(memory)[at : at + 2 * _NUMBER.size].cast("Q")

    def tell(self, count: int, opened: int, /) -> None:
        """`count` are open now, `opened` have been so far."""
        self._numbers[0] = count
        self._numbers[1] = opened


if TYPE_CHECKING:
    ConnectionCounts = ConnectionCountsInPython
else:
    ConnectionCounts = ConnectionCountsInPython if shared is None else shared.ConnectionCounts


class Row:
    """A worker's own row, to write."""

    __slots__ = ("count_connections", "seats")

    def __init__(self, memory: mmap.mmap, seats: int) -> None:
        _NUMBER.pack_into(memory, _WORKERS_PART, os.getpid())
        self.seats = [Seat(memory, ROW_HEADER_BYTES + index * SEAT_BYTES) for index in range(seats)]
        self.count_connections = ConnectionCounts(memory, _OPEN).tell
        """How many are open now, and how many have been so far."""


def map_row(place: Place | None, seats: int) -> Row:
    """The row at `place`; without one, or if the master lays it out differently, one that nobody else sees."""
    if place is not None:
        head = os.pread(place.fd, _FILE.size, 0)
        if len(head) == _FILE.size and _FILE.unpack(head) == _file_head():
            return Row(mmap.mmap(place.fd, row_bytes(seats), offset=place.offset), seats)
    return Row(mmap.mmap(-1, row_bytes(seats)), seats)


def _file_head() -> tuple[bytes, int, int, int, int]:
    return (MAGIC, VERSION, PAGE, ROW_HEADER_BYTES, SEAT_BYTES)


# master -------------------------------------------------------------------------------------------------------------


class _Assigned(msgspec.Struct):
    offset: int
    memory: mmap.mmap
    seats: int


class Scoreboard:
    """All rows, as the master hands them out, reads and collects them."""

    def __init__(self) -> None:
        self.replaced = False
        """It stands in the place of one that could not be read."""
        self.fd = os.memfd_create("prefork-scoreboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, PAGE)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        self._file = mmap.mmap(self.fd, PAGE)
        _FILE.pack_into(self._file, 0, *_file_head())
        self._end = PAGE
        self._free: dict[int, list[int]] = {}
        self._rows: dict[int, _Assigned] = {}
        self._gone, self._gone_connections = [0] * COUNTERS, 0

    @classmethod
    def inherited(cls, fd: int, counted: Mapping[str, Any] | None = None) -> Scoreboard:
        """The one that had this descriptor before the process executed a program anew; its rows follow each other.

        If that was a release with another layout: an empty one under the same descriptor (`replaced`), which goes on from
        `counted`, what that function gave there. Those who have the old one mapped write to it for nobody."""
        head = os.pread(fd, _FILE.size, 0)
        if len(head) != _FILE.size or _FILE.unpack(head) != _file_head():
            return cls._instead_of(fd, counted or {})
        board = cls.__new__(cls)
        board.replaced = False
        board.fd = fd
        os.set_inheritable(fd, False)
        board._file = mmap.mmap(fd, PAGE)
        board._gone = read_counters(board._file, [_GONE])
        (board._gone_connections,) = _NUMBER.unpack_from(board._file, _GONE_CONNECTIONS)
        board._free, board._rows = {}, {}
        board._end, size = PAGE, os.fstat(fd).st_size
        while board._end + PAGE <= size:
            worker, seats, _, _ = _ROW.unpack(os.pread(fd, _ROW.size, board._end))
            if board._end + row_bytes(seats) > size:
                break  # an application has written here
            if worker:
                memory = mmap.mmap(fd, row_bytes(seats), offset=board._end)
                board._rows[worker] = _Assigned(board._end, memory, seats)
            else:
                board._free.setdefault(row_bytes(seats), []).append(board._end)
            board._end += row_bytes(seats)
        return board

    @classmethod
    def _instead_of(cls, fd: int, counted: Mapping[str, Any]) -> Scoreboard:
        board = cls()
        os.dup2(board.fd, fd, inheritable=False)
        os.close(board.fd)
        board.fd = fd
        board.replaced = True
        board._gone, board._gone_connections = counters_by_name(counted)
        write_counters(board._file, _GONE, board._gone)
        _NUMBER.pack_into(board._file, _GONE_CONNECTIONS, board._gone_connections)
        return board

    def counted(self) -> dict[str, Any]:
        """All totals by name, for a program with another layout."""
        return self.totals()._asdict()

    def assign(self, worker: int, number: int, generation: int, seats: int) -> int:
        """A clean row for a worker that is about to be forked; returns its offset. Raises OSError."""
        size = row_bytes(seats)
        free = self._free.get(size)
        if free:
            # The one that has been free longest: a process that never was announced may still be leaving.
            offset = free.pop(0)
        else:
            offset = self._end
            os.ftruncate(self.fd, offset + size)
            self._end += size
        memory = mmap.mmap(self.fd, size, offset=offset)
        memory[:] = bytes(size)
        _ROW.pack_into(memory, 0, worker, seats, number, generation)
        self._rows[worker] = _Assigned(offset, memory, seats)
        return offset

    @property
    def workers(self) -> list[int]:
        """Who has a row."""
        return list(self._rows)

    def release(self, worker: int) -> None:
        """The worker has been collected: its counters are kept, its row is free."""
        row = self._rows.pop(worker)
        self._gone = list(map(add, self._gone, _counted(row)))
        self._gone_connections += _number(row, _OPENED)
        write_counters(self._file, _GONE, self._gone)
        _NUMBER.pack_into(self._file, _GONE_CONNECTIONS, self._gone_connections)
        _NUMBER.pack_into(row.memory, 0, 0)
        self._free.setdefault(len(row.memory), []).append(row.offset)
        row.memory.close()

    @property
    def gone(self) -> Totals:
        """What workers that are gone have counted."""
        return totals(self._gone, self._gone_connections)

    def totals(self) -> Totals:
        """What all workers have counted, those that are gone included."""
        return sum(map(_totals, self._rows.values()), start=self.gone)

    def totals_of(self, worker: int) -> Totals | None:
        """What this worker has counted; None if it has no row."""
        row = self._rows.get(worker)
        return None if row is None else _totals(row)

    def running(self, worker: int) -> list[Running]:
        """The requests that the worker's threads run at this moment."""
        row = self._rows.get(worker)
        if row is None:
            return []
        found = (read_running(row.memory, _seat_at(index), index) for index in range(row.seats))
        return [each for each in found if each is not None]

    def steps(self, worker: int) -> dict[int, int]:
        """For each seat of the worker, the number of the step that runs there, or ran last."""
        row = self._rows.get(worker)
        if row is None:
            return {}
        return {index: read_number(row.memory, _seat_at(index)) for index in range(row.seats)}

    def seats(self, worker: int) -> int:
        """How many requests the worker can run at once; 0 if it has no row."""
        row = self._rows.get(worker)
        if row is None:
            return 0
        return row.seats if row.seats == 1 else row.seats - 1  # without the loop's, see `seats_for`

    def connections(self, worker: int) -> int:
        """How many connections the worker has open."""
        row = self._rows.get(worker)
        return 0 if row is None else _number(row, _OPEN)

    def want_interrupted(self, worker: int, seat: int, request: int) -> None:
        """Mark the request that a signal to this worker is meant for (see `Seat.wanted`)."""
        row = self._rows[worker]
        mark_wanted(row.memory, _seat_at(seat), request)

    def close(self) -> None:
        """Give the memory back."""
        for row in self._rows.values():
            row.memory.close()
        self._rows.clear()
        self._file.close()
        os.close(self.fd)


def _counted(row: _Assigned) -> list[int]:
    return read_counters(row.memory, [_seat_at(index) + COUNTERS_AT for index in range(row.seats)])


def _totals(row: _Assigned) -> Totals:
    return totals(_counted(row), _number(row, _OPENED))


def _number(row: _Assigned, at: int) -> int:
    (number,) = _NUMBER.unpack_from(row.memory, at)
    return int(number)


def _seat_at(index: int) -> int:
    return ROW_HEADER_BYTES + index * SEAT_BYTES
