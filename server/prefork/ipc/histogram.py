"""Histograms of durations: which bucket a duration belongs to, and what can be said of many durations afterwards.

Owns: the bounds, and arithmetic with counts. Pure; runs anywhere. Must not know: where counts are kept, what was measured.

There are four buckets to an octave, so a quantile is off by an eighth at most, and counts of any number of threads, workers and
servers are added up without losing that. Bounds are binary fractions of powers of two nanoseconds: the index of a bucket is
taken from the bits of the number, without a logarithm or a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add

_FIRST_OCTAVE, _LAST_OCTAVE = LAYOUT = 15, 36
"""2**15 ns are 33 microseconds; the last octave ends at 2**37 ns, 137 seconds."""

BOUNDS_NS: tuple[int, ...] = tuple(
    (5 + quarter) << (octave - 2)
    for octave in range(_FIRST_OCTAVE, _LAST_OCTAVE + 1)
    for quarter in range(4)
    if (octave, quarter) != (_FIRST_OCTAVE, 0)
)
"""Upper bounds of the buckets, inclusive: 49 microseconds to 137 seconds."""

BOUNDS_S: tuple[float, ...] = tuple(bound / 1e9 for bound in BOUNDS_NS)

BUCKETS = len(BOUNDS_NS) + 1
"""One more, for whatever takes longer than the last bound."""

_SHIFT = 4 * _FIRST_OCTAVE + 9
"""So that the bucket of BOUNDS_NS[0] has index 0, see `bucket`."""


def bucket(duration_ns: int) -> int:
    """The index of the bucket that counts a duration; less than nothing is nothing."""
    if duration_ns <= BOUNDS_NS[0]:
        return 0
    if duration_ns > BOUNDS_NS[-1]:
        return BUCKETS - 1
    below = duration_ns - 1  # a bound belongs to the bucket that it ends
    bits = below.bit_length()
    return 4 * bits + (below >> (bits - 3)) - _SHIFT


def merge(*histograms: Sequence[int]) -> list[int]:
    """The counts of all of them; of none, an empty histogram. One without buckets counts as empty."""
    merged = [0] * BUCKETS
    for counts in histograms:
        if counts:
            merged = list(map(add, merged, counts))
    return merged


def difference(later: Sequence[int], earlier: Sequence[int]) -> list[int]:
    """What was counted between two looks. After a restart, when `earlier` has more, all of `later`."""
    if not earlier:
        return list(later) or [0] * BUCKETS
    found = [after - before for after, before in zip(later, earlier, strict=True)]
    return list(later) if any(count < 0 for count in found) else found


def quantile(counts: Sequence[int], q: float) -> float:
    """Seconds that a share of `q` (0 to 1) of the durations did not exceed; 0.0 if there are none.

    Within a bucket durations are taken to be spread evenly; those beyond the last bound, to be as long as that.
    """
    total = sum(counts)
    if total == 0:
        return 0.0
    rank = min(max(q, 0.0), 1.0) * total
    seen = 0
    for index, count in enumerate(counts):
        if count and seen + count >= rank:
            if index >= len(BOUNDS_S):
                break
            lower = BOUNDS_S[index - 1] if index else 0.0
            return lower + (BOUNDS_S[index] - lower) * max(rank - seen, 0.0) / count
        seen += count
    return BOUNDS_S[-1]
