"""The memory in which applications count, of all processes, and what those that are gone have counted.

Owns: the file, who has which region, and adding up the counters of processes that have ended. Runs in: master. Must not know:
processes, what is made of the values (see `appmetrics`).

    page 0      magic, version, sizes, and an epoch that is odd while a region is being collected
    gone        a region in which the master keeps what processes that are gone have counted
    regions     one a process, see `metricregion`
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable

from prefork.ipc.cells import Cells
from prefork.ipc.metricregion import (
    HEADER_BYTES,
    REGION_BYTES,
    Definition,
    Region,
    Series,
    read_series,
    write_owner,
)

VERSION = 1
_MAGIC = b"prefmet\0"
PAGE = mmap.ALLOCATIONGRANULARITY
GONE_BYTES = 4 * REGION_BYTES
FIRST_REGION = PAGE + GONE_BYTES

HEAD = struct.Struct("@8sQQQQ")
"""magic, version, page, bytes of the region of those who are gone, bytes of a region."""
EPOCH_AT = 512
EPOCH = struct.Struct("@Q")

ZYGOTE = 1 << 63
"""Added to a generation's number: the owner is its zygote. Workers own theirs by their id."""


def file_head() -> bytes:
    """What the file begins with, for those who have to be of one mind."""
    return HEAD.pack(_MAGIC, VERSION, PAGE, GONE_BYTES, REGION_BYTES)


class MetricStore:
    """Hands out regions, and collects them."""

    def __init__(self, fd: int | None = None) -> None:
        """`fd`: the file that the program before this one had, see `inherited`."""
        if fd is None:
            fd = os.memfd_create("prefork-metrics", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(fd, FIRST_REGION)
            # Nobody may make it shorter under the others (SIGBUS).
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        self.fd = fd
        self.replaced = False
        """It stands in the place of one that could not be read."""
        self.on_full: Callable[[], None] = lambda: None
        """Called when what a process had counted cannot be kept."""
        self._head = mmap.mmap(fd, PAGE)
        self._head[: HEAD.size] = file_head()
        self._gone_memory = mmap.mmap(fd, GONE_BYTES, offset=PAGE)
        self._gone, kept = Region.again(self._gone_memory, GONE_BYTES)
        self._kept: dict[tuple[Definition, tuple[str, ...]], Cells] = {
            (series.definition, series.labels): cells for series, cells in kept
        }
        self._owners: dict[int, int] = {}
        self._free: list[int] = []
        self._end = FIRST_REGION
        (self._epoch,) = EPOCH.unpack_from(self._head, EPOCH_AT)

    @classmethod
    def inherited(cls, fd: int, owners: dict[int, int]) -> MetricStore:
        """The one that had this descriptor before the process executed a program anew; of another layout: an empty one under the
        same descriptor. `owners` is what it had then."""
        os.set_inheritable(fd, False)
        if os.pread(fd, HEAD.size, 0) != file_head():
            fresh = cls()
            os.dup2(fresh.fd, fd, inheritable=False)
            os.close(fresh.fd)
            fresh.fd = fd
            fresh.replaced = True
            return fresh
        store = cls(fd)
        store._end = os.fstat(fd).st_size
        store._owners = {owner: at for owner, at in owners.items() if at + REGION_BYTES <= store._end}
        taken = set(store._owners.values())
        store._free = [at for at in range(FIRST_REGION, store._end, REGION_BYTES) if at not in taken]
        return store

    @property
    def owners(self) -> dict[int, int]:
        """Who has a region, and where."""
        return dict(self._owners)

    def assign(self, owner: int, number: int, generation: int) -> int:
        """An empty region for a process that is about to be made; returns its offset. Raises OSError."""
        if self._free:
            at = self._free.pop(0)
        else:
            at = self._end
            os.ftruncate(self.fd, at + REGION_BYTES)
            self._end = at + REGION_BYTES
        with mmap.mmap(self.fd, REGION_BYTES, offset=at) as memory:
            # All of it becomes a hole: zero, and without memory (madvise(2)).
            memory.madvise(mmap.MADV_REMOVE)
            write_owner(memory, 0, owner, number, generation)
        self._owners[owner] = at
        return at

    def release(self, owner: int) -> None:
        """The process is gone: what it has counted is kept, its gauges go with it, except for those of mode "last"."""
        at = self._owners.pop(owner, None)
        if at is None:
            return
        self._bump()
        with mmap.mmap(self.fd, REGION_BYTES, offset=at) as memory:
            full = sum(not self._keep(series) for series in read_series(memory, 0))
            write_owner(memory, 0, 0, 0, 0)
            memory.madvise(mmap.MADV_REMOVE)
        self._bump()
        self._free.append(at)
        if full:
            self.on_full()

    def release_others(self, owners: set[int]) -> None:
        """All that are not among these."""
        for owner in self._owners.keys() - owners:
            self.release(owner)

    def _keep(self, series: Series) -> bool:
        definition = series.definition
        if definition.kind == "gauge" and definition.mode != "last":
            return True
        key = (definition, series.labels)
        cells = self._kept.get(key)
        if cells is None:
            added = self._gone.add(definition, series.labels)
            if added is None:
                return False
            cells = self._kept[key] = added
        if definition.kind == "gauge":
            if series.cells[1] >= cells.get(1):
                cells.set(0, series.cells[0])
                cells.set(1, series.cells[1])
        else:
            for index, value in enumerate(series.cells):
                cells.add(index, value)
        return True

    def _bump(self) -> None:
        self._epoch += 1
        EPOCH.pack_into(self._head, EPOCH_AT, self._epoch)

    def close(self) -> None:
        """Give the memory back."""
        self._kept.clear()
        del self._gone
        self._gone_memory.close()
        self._head.close()
        os.close(self.fd)


assert HEADER_BYTES < PAGE
