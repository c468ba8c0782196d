"""Range requests: which bytes a client wants.

Owns: RFC 9110 section 14 for the unit "bytes". Pure. Runs in: worker. Must not know what the bytes are of.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from prefork.http.tokens import OWS

MAX_RANGES = 16
"""More are answered with the whole (RFC 9110 section 14.2: a server may ignore "many small ranges" and "more than two
overlapping ranges"); readers of PDF files ask for about ten at a time."""

_MAX_DIGITS = 18
"""As for Content-Length: what fits a signed 64-bit number. Longer ones lie behind the end of everything."""

_range_set = re.compile(r"bytes=(.*)", re.IGNORECASE).fullmatch
_one_range = re.compile(r"([0-9]*)-([0-9]*)").fullmatch


class ByteRange(NamedTuple):
    """`length` bytes from `start`."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The value of Content-Range (RFC 9110 section 14.4)."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def read_ranges(field: str, size: int) -> list[ByteRange] | None:
    """The ranges that `field` asks for of `size` bytes, in its order.

    None: send the whole, because the field is malformed, of another unit, or asks for too much (more ranges than
    MAX_RANGES, or more bytes than there are: they overlap). Empty: none can be satisfied (416).
    """
    match = _range_set(field)
    if match is None:
        return None
    wanted = [text for part in match[1].split(",") if (text := part.strip(OWS))]
    if not 0 < len(wanted) <= MAX_RANGES:
        return None
    found: list[ByteRange] = []
    for text in wanted:
        range_ = _one_range(text)
        if range_ is None or text == "-":
            return None
        first, last = _number(range_[1]), _number(range_[2])
        if first is not None and last is not None and last < first:
            return None  # an invalid int-range (14.1.1), and a set with an invalid member is invalid
        found += _satisfied(first, last, size)
    if not found and not size:
        return None  # of an empty file there is nothing to choose; the whole is what every range wants
    return found if sum(range_.length for range_ in found) <= size else None


def _number(digits: str) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _satisfied(first: int | None, last: int | None, size: int) -> list[ByteRange]:
    """One range, cut to what there is; none if it lies outside."""
    if first is None:  # the last bytes
        length = min(last or 0, size)
        start = size - length
    else:
        start = first
        length = (size if last is None else min(last + 1, size)) - first
    return [ByteRange(start, length)] if length > 0 else []
