"""The metrics of one process, in memory that others read.

Owns: the layout of a region, writing it (the process it belongs to, nobody else) and reading it (anybody). Runs in: zygote,
worker, master, status process. Must not know: whose regions there are, what is made of the values.

A region is written from its start to its end, like a journal: a *family* is defined once, each of its *series* (one for each
combination of label values) follows as its label values and its cells, which are all that changes later. `used` in the header
grows when a record is complete, so that a process may be killed at any moment and a reader never sees half of a record.

Nothing in it is trusted: the application has it mapped, and could write anything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap

import msgspec

from prefork.ipc.cells import CELL_BYTES, Cells

REGION_BYTES = 1 << 20
"""Only pages that are written take memory."""

HEADER_BYTES = 128
_HEADER = struct.Struct("@QQQ")
"""owner (0: free), number of the worker or 0 for a zygote, generation. Written by the master."""
_USED_AT, _REFUSED_AT = 64, 72
"""Written by the process: bytes behind the header that are complete; series for which there was no room."""
_NUMBER = struct.Struct("@Q")

_RECORD = struct.Struct("@IHHI")
"""bytes of all of it, kind, nothing, bytes of the text."""
_TEXT_AT = 16
_FAMILY, _SERIES = 1, 2

MAX_BOUNDS = 512


class Definition(msgspec.Struct, frozen=True):
    """A family: a metric with all its series."""

    name: str
    help: str
    kind: str
    """counter, gauge, histogram."""
    labels: tuple[str, ...] = ()
    """Names of its labels."""
    mode: str = ""
    """Of a gauge, how the values of several workers become one: sum, min, max, last; all: they do not."""
    bounds: tuple[float, ...] = ()
    """Of a histogram: upper bounds of its buckets."""

    @property
    def cells(self) -> int:
        """How many numbers a series has: a value; a gauge also when it was set; a histogram a sum and a count for each bucket."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 2 if self.kind == "gauge" else 1


class Series(msgspec.Struct, frozen=True):
    """One that was read."""

    definition: Definition
    labels: tuple[str, ...]
    """Values of its labels, in the order of their names."""
    cells: tuple[float, ...]


class _FamilyText(Definition, frozen=True):
    id: int = 0


class _SeriesText(msgspec.Struct, frozen=True):
    family: int
    labels: tuple[str, ...] = ()


_family_decoder = msgspec.json.Decoder(_FamilyText)
_series_decoder = msgspec.json.Decoder(_SeriesText)


class Region:
    """One's own, to write. Whoever calls sees to it that one thread at a time does."""

    def __init__(self, memory: mmap, size: int = REGION_BYTES) -> None:
        self._memory = memory
        self._end = min(size, len(memory))
        self._next = HEADER_BYTES
        self._families: dict[Definition, int] = {}
        _NUMBER.pack_into(memory, _USED_AT, 0)
        _NUMBER.pack_into(memory, _REFUSED_AT, 0)

    @classmethod
    def again(cls, memory: mmap, size: int) -> tuple[Region, list[tuple[Series, Cells]]]:
        """To go on with one that was written before, and all series in it."""
        region = cls.__new__(cls)
        region._memory, region._end = memory, min(size, len(memory))
        region._families, found = {}, []
        at = HEADER_BYTES
        for family, definition, series, begin, end in _records(memory, 0, region._end):
            at = end
            if series is None:
                region._families[definition] = family
            else:
                found.append((series, Cells(memory, begin, definition.cells)))
        region._next = at
        return region, found

    @property
    def refused(self) -> int:
        """Series for which there was no room."""
        (refused,) = _NUMBER.unpack_from(self._memory, _REFUSED_AT)
        return int(refused)

    def add(self, definition: Definition, labels: tuple[str, ...]) -> Cells | None:
        """The cells of a new series, all 0.0; None if there is no room."""
        family = self._families.get(definition)
        if family is None:
            family = len(self._families) + 1
            text = msgspec.json.encode(_FamilyText(**msgspec.structs.asdict(definition), id=family))
            if self._write(_FAMILY, text, 0) is None:
                self._refuse()
                return None
            self._families[definition] = family
        at = self._write(_SERIES, msgspec.json.encode(_SeriesText(family, labels)), definition.cells)
        if at is None:
            self._refuse()
            return None
        return Cells(self._memory, at, definition.cells)

    def _refuse(self) -> None:
        _NUMBER.pack_into(self._memory, _REFUSED_AT, self.refused + 1)

    def _write(self, kind: int, text: bytes, cells: int) -> int | None:
        """Returns where its cells begin. Reserved first: a handler of a signal may come in between and write another."""
        begin = _padded(_TEXT_AT + len(text))
        size = begin + cells * CELL_BYTES
        at = self._next
        if at + size > self._end:
            return None
        self._next = at + size
        self._memory[at : at + size] = bytes(size)
        self._memory[at + _TEXT_AT : at + _TEXT_AT + len(text)] = text
        _RECORD.pack_into(self._memory, at, size, kind, 0, len(text))
        _NUMBER.pack_into(self._memory, _USED_AT, self._next - HEADER_BYTES)
        return at + begin


def _padded(size: int) -> int:
    return -(-size // CELL_BYTES) * CELL_BYTES


# whoever reads ------------------------------------------------------------------------------------------------------


def write_owner(memory: mmap, at: int, owner: int, number: int, generation: int) -> None:
    """For the master: whose region it is."""
    _HEADER.pack_into(memory, at, owner, number, generation)


def read_owner(memory: mmap, at: int) -> tuple[int, int, int]:
    """(owner, number, generation), as in `write_owner`; owner 0: nobody."""
    owner, number, generation = _HEADER.unpack_from(memory, at)
    return owner, number, generation


def read_refused(memory: mmap, at: int) -> int:
    """Series for which there was no room."""
    (refused,) = _NUMBER.unpack_from(memory, at + _REFUSED_AT)
    return int(refused)


def read_series(memory: mmap, at: int, size: int = REGION_BYTES) -> Iterator[Series]:
    """All complete series of the region at `at`, up to the first record that makes no sense."""
    for _, _, series, _, _ in _records(memory, at, size):
        if series is not None:
            yield series


def _records(
    memory: mmap, start: int, size: int
) -> Iterator[tuple[int, Definition, Series | None, int, int]]:
    """(number of the family, its definition, the series or None, where its cells begin, where the record ends)."""
    families: dict[int, Definition] = {}
    (used,) = _NUMBER.unpack_from(memory, start + _USED_AT)
    at, end = start + HEADER_BYTES, min(start + HEADER_BYTES + used, start + size, len(memory))
    while at + _TEXT_AT <= end:
        length, kind, _, text_length = _RECORD.unpack_from(memory, at)
        begin = _padded(_TEXT_AT + text_length)
        if begin > length or length % CELL_BYTES or at + length > end:
            return
        text = memory[at + _TEXT_AT : at + _TEXT_AT + text_length]
        try:
            if kind == _FAMILY:
                family = _family_decoder.decode(text)
                if len(family.bounds) > MAX_BOUNDS:
                    return
                fields = msgspec.structs.asdict(family)
                number = fields.pop("id")
                definition = families[number] = Definition(**fields)
                yield number, definition, None, at + begin, at + length
            elif kind == _SERIES:
                one = _series_decoder.decode(text)
                definition = families[one.family]
                if begin + definition.cells * CELL_BYTES != length or len(one.labels) != len(
                    definition.labels
                ):
                    return
                cells = struct.unpack_from(f"@{definition.cells}d", memory, at + begin)
                series = Series(definition, one.labels, cells)
                yield one.family, definition, series, at + begin, at + length
            else:
                return
        except (msgspec.MsgspecError, UnicodeError, KeyError):
            return
        at += length
