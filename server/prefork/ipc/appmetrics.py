"""What applications have counted with `prefork.metrics`, all processes together.

Owns: reading the memory that they count in, and making one value out of those of several processes. Runs in: status process, or
whoever has the descriptor. Must not know: how the values are shown.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator
from operator import add

import msgspec

from prefork.ipc.metricregion import (
    REGION_BYTES,
    Definition,
    Series,
    read_owner,
    read_refused,
    read_series,
)
from prefork.ipc.metricstore import EPOCH, EPOCH_AT, FIRST_REGION, GONE_BYTES, HEAD, PAGE, ZYGOTE, file_head

_ATTEMPTS = 20
"""A process that has ended is collected in about a millisecond; who reads meanwhile looks again."""


class Sample(msgspec.Struct, frozen=True):
    """One series."""

    labels: tuple[str, ...]
    """Values of the labels, in the order of `Family.labels`."""
    value: float
    """Of a histogram: the sum of what was observed."""
    buckets: tuple[float, ...] = ()
    """Of a histogram: how often, for each of `Family.bounds` (not cumulated), and at the end beyond all of them."""


class Family(msgspec.Struct, frozen=True):
    """A metric with all its series."""

    name: str
    """Of a counter without "_total"."""
    help: str
    kind: str
    """counter, gauge, histogram."""
    labels: tuple[str, ...]
    """Of a gauge of mode "all" the last is "worker": the number of the worker, with "-leaving" behind it for one that is being
    replaced while its successor is there."""
    bounds: tuple[float, ...]
    samples: list[Sample]


class _Found(msgspec.Struct):
    owner: int
    number: int
    generation: int
    series: Series


def read(fd: int) -> list[Family]:
    """All metrics, by name. Raises OSError; anything that makes no sense is left out."""
    size = os.fstat(fd).st_size
    if size < FIRST_REGION or os.pread(fd, HEAD.size, 0) != file_head():
        return []
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as memory:
        found: list[_Found] = []
        for _ in range(_ATTEMPTS):
            before = _epoch(memory)
            found = list(_read_all(memory, size))
            if before % 2 == 0 and _epoch(memory) == before:
                break
    return _families(found)


def read_own(memory: mmap.mmap) -> list[Family]:
    """Those of one process, in a region that belongs to no file."""
    return _families([_Found(1, 0, 0, series) for series in read_series(memory, 0)])


def refused(fd: int) -> int:
    """Series that are not there because a process had no room for them."""
    size = os.fstat(fd).st_size
    if size < FIRST_REGION or os.pread(fd, HEAD.size, 0) != file_head():
        return 0
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as memory:
        return sum(read_refused(memory, at) for at in (PAGE, *range(FIRST_REGION, size, REGION_BYTES)))


def _epoch(memory: mmap.mmap) -> int:
    (epoch,) = EPOCH.unpack_from(memory, EPOCH_AT)
    return int(epoch)


def _read_all(memory: mmap.mmap, size: int) -> Iterator[_Found]:
    for series in read_series(memory, PAGE, GONE_BYTES):
        yield _Found(0, 0, 0, series)
    for at in range(FIRST_REGION, size - REGION_BYTES + 1, REGION_BYTES):
        owner, number, generation = read_owner(memory, at)
        if owner:
            for series in read_series(memory, at):
                yield _Found(owner, number, generation, series)


def _families(found: list[_Found]) -> list[Family]:
    by_name: dict[str, list[_Found]] = {}
    for each in found:
        by_name.setdefault(each.series.definition.name, []).append(each)
    return [_family(of_name) for _, of_name in sorted(by_name.items())]


def _family(found: list[_Found]) -> Family:
    """What the newest generation says the metric is; what others counted is added if they meant the same."""
    definition = max(found, key=lambda each: each.generation).series.definition
    alike = [each for each in found if _is_alike(each.series.definition, definition)]
    if definition.kind == "gauge":
        # A zygote's go on in its workers. One that was never set says nothing beside others.
        alike = [each for each in alike if not each.owner & ZYGOTE]
        alike = [each for each in alike if each.series.cells[1]] or alike[:1]
    labels = definition.labels
    if definition.kind == "gauge" and definition.mode == "all":
        labels = (*labels, "worker")
        samples = _separate(alike)
    else:
        series: dict[tuple[str, ...], list[tuple[float, ...]]] = {}
        for each in alike:
            series.setdefault(each.series.labels, []).append(each.series.cells)
        samples = [_sample(definition, values, cells) for values, cells in sorted(series.items())]
    return Family(definition.name, definition.help, definition.kind, labels, definition.bounds, samples)


def _is_alike(one: Definition, other: Definition) -> bool:
    return (one.kind, one.labels, one.bounds, one.mode) == (
        other.kind,
        other.labels,
        other.bounds,
        other.mode,
    )


def _sample(definition: Definition, labels: tuple[str, ...], cells: list[tuple[float, ...]]) -> Sample:
    if definition.kind == "histogram":
        total = [0.0] * definition.cells
        for each in cells:
            total = list(map(add, total, each))
        return Sample(labels, total[0], tuple(total[1:]))
    values = [each[0] for each in cells]
    if definition.kind == "counter" or definition.mode == "sum":
        return Sample(labels, math.fsum(values) if all(map(math.isfinite, values)) else sum(values))
    if definition.mode == "last":
        return Sample(labels, max(cells, key=lambda each: each[1])[0])
    return Sample(labels, min(values) if definition.mode == "min" else max(values))


def _separate(found: list[_Found]) -> list[Sample]:
    """Each worker's own; one that replaces another has its number too, while both are there."""
    samples: list[Sample] = []
    newest = {each.number: 0 for each in found}
    for each in found:
        newest[each.number] = max(newest[each.number], each.owner)
    for each in sorted(found, key=lambda each: (each.series.labels, each.number, each.owner)):
        leaving = "" if each.owner == newest[each.number] else "-leaving"
        if leaving and samples and samples[-1].labels == (*each.series.labels, f"{each.number}{leaving}"):
            continue  # two of them leave
        samples.append(Sample((*each.series.labels, f"{each.number}{leaving}"), each.series.cells[0]))
    return samples
