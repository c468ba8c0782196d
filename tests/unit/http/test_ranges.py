"""RFC 9110 section 14, and Accept-Encoding (section 12.5.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.http.negotiation import preferred_codings
from prefork.http.ranges import MAX_RANGES, ByteRange, read_ranges

HUGE = "9" * 5000


@pytest.mark.parametrize(
    ("field", "size", "wanted"),
    [
        ("bytes=0-499", 10000, [(0, 500)]),
        ("bytes=500-999", 10000, [(500, 500)]),
        ("bytes=-500", 10000, [(9500, 500)]),
        ("bytes=9500-", 10000, [(9500, 500)]),
        ("bytes=0-0,-1", 10000, [(0, 1), (9999, 1)]),
        ("bytes= 0-0, 4-5 ,,", 10, [(0, 1), (4, 2)]),
        ("Bytes=0-0", 10, [(0, 1)]),
        ("bytes=0-99", 10, [(0, 10)]),
        (f"bytes=0-{HUGE}", 10, [(0, 10)]),
        ("bytes=-99", 10, [(0, 10)]),
        ("bytes=9-9", 10, [(9, 1)]),
        ("bytes=5-5,1-1", 10, [(5, 1), (1, 1)]),
        ("bytes=0-1,50-60", 10, [(0, 2)]),
        # Not satisfiable.
        ("bytes=10-", 10, []),
        ("bytes=10-20", 10, []),
        ("bytes=-0", 10, []),
        (f"bytes={HUGE}-", 10, []),
        # Ignored.
        ("bytes=", 10, None),
        ("bytes=,", 10, None),
        ("bytes=-", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=5-4", 10, None),
        ("bytes=0-1,5-4", 10, None),
        ("bytes=0-1;2-3", 10, None),
        ("bytes=+1-2", 10, None),
        ("bytes=0x1-2", 10, None),
        ("bytes 0-1", 10, None),
        ("lines=0-1", 10, None),
        ("", 10, None),
        ("bytes=\u0663-\u0664", 10, None),
        ("bytes=0-", 0, None),
        ("bytes=-5", 0, None),
        # More bytes than there are: overlapping.
        ("bytes=0-,0-", 10, None),
        ("bytes=0-5,3-9", 10, None),
        ("bytes=" + ",".join(["0-0"] * (MAX_RANGES + 1)), 1000, None),
    ],
)
def test_ranges(field: str, size: int, wanted: list[tuple[int, int]] | None) -> None:
    assert read_ranges(field, size) == wanted


def test_as_many_as_allowed() -> None:
    ranges = read_ranges("bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(MAX_RANGES)), 1000)
    assert ranges == [(2 * n, 1) for n in range(MAX_RANGES)]


def test_content_range() -> None:
    assert ByteRange(500, 500).content_range(1234) == "bytes 500-999/1234"


@given(
    st.text(alphabet="0123456789-, =bytes", max_size=60).map(lambda text: f"bytes={text}"),
    st.integers(0, 200),
)
def test_every_range_lies_within_and_all_together_are_no_more_than_the_whole(field: str, size: int) -> None:
    ranges = read_ranges(field, size)
    for start, length in ranges or ():
        assert start >= 0
        assert length > 0
        assert start + length <= size
    assert sum(length for _, length in ranges or ()) <= size


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, []),
        ("", []),
        ("identity", []),
        ("gzip", ["gzip"]),
        ("x-gzip", ["gzip"]),
        ("GZIP", ["gzip"]),
        ("gzip, deflate, br, zstd", ["br", "zstd", "gzip"]),
        ("gzip;q=1.0, br;q=0.5", ["gzip", "br"]),
        ("br;q=0, gzip", ["gzip"]),
        ("br;q=0.000,gzip;q=0.001", ["gzip"]),
        ("*", ["br", "zstd", "gzip"]),
        ("*;q=0", []),
        ("br, *;q=0", ["br"]),
        ("gzip;q=0, *", ["br", "zstd"]),
        ("gzip;q=0.5, identity", []),
        ("gzip;q=0.5, identity;q=0.4", ["gzip"]),
        ("gzip, identity", ["gzip"]),
        ("gzip ; q=0.8 , br ;q=0.9", ["br", "gzip"]),
        ("gzip;q=2", []),
        ("gzip;q=", []),
        ("gzip;quality=1", []),
        ("gzip;q=-1", []),
        (";q=1,br", ["br"]),
        ("gz ip", []),
    ],
)
def test_codings(accept: str | None, wanted: list[str]) -> None:
    assert preferred_codings(accept, ("br", "zstd", "gzip")) == wanted
