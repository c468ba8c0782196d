"""Durations, sizes and modes as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.settings import units


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (30, 30.0),
        (0.25, 0.25),
        ("0s", 0.0),
        ("250ms", 0.25),
        ("0.1ms", 0.0001),
        ("30s", 30.0),
        ("30 s", 30.0),
        ("1.5s", 1.5),
        ("5m", 300.0),
        ("0.1m", 6.0),
        ("12h", 43200.0),
        ("1d", 86400.0),
        ("1.5d", 129600.0),
    ],
)
def test_a_duration_is_seconds(written: object, seconds: float) -> None:
    parsed = units.parse_duration(written)
    assert parsed == seconds
    assert type(parsed) is float


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "30",
            "s",
            "30 minutes",
            "30S",
            "30M",
            "-1s",
            "+1s",
            "1e3s",
            "1,5s",
            ".5s",
            "5.s",
            "1h30m",
            "30s ",
        ),
        *(" 30s", "30\ns", "30  s", "inf", "nan", "\u0663s", "9" * 5000 + "s"),
        *(
            True,
            False,
            None,
            [],
            {},
            -1,
            -0.5,
            float("inf"),
            float("-inf"),
            float("nan"),
            10**400,
            -(10**400),
        ),
    ],
)
def test_what_is_no_duration_is_told_how_to_write_one(written: object) -> None:
    with pytest.raises(ValueError, match=re.escape(units.DURATION_RULE)):
        units.parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0.0, "0s"), (0.05, "50ms"), (0.25, "250ms"), (1.0, "1s"), (1.5, "1.5s"), (90.0, "90s")],
        *[(60.0, "1m"), (300.0, "5m"), (3600.0, "1h"), (5400.0, "90m"), (86400.0, "1d"), (0.0001, "0.0001s")],
    ],
)
def test_a_duration_is_written_as_a_person_would(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@given(st.one_of(st.just(0.0), st.floats(1e-6, 1e12), st.integers(0, 10**9).map(float)))
def test_a_duration_survives_being_written(seconds: float) -> None:
    assert units.parse_duration(units.format_duration(seconds)) == seconds


@given(st.one_of(st.text(), st.floats(), st.integers(), st.booleans(), st.none()))
def test_any_duration_is_finite_or_refused(written: object) -> None:
    try:
        seconds = units.parse_duration(written)
    except ValueError:
        return
    assert 0 <= seconds < 1e20


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (0, 0),
        (4096, 4096),
        ("0B", 0),
        ("1B", 1),
        ("64KiB", 65536),
        ("64 KiB", 65536),
        ("1.5KiB", 1536),
        ("0.5MiB", 524288),
        ("1GiB", 1 << 30),
        ("2TiB", 2 << 40),
        ("1kB", 1000),
        ("1KB", 1000),
        ("10MB", 10_000_000),
        ("1GB", 10**9),
        ("1TB", 10**12),
    ],
)
def test_a_size_is_bytes(written: object, size: int) -> None:
    assert units.parse_size(written) == size


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "64",
            "64K",
            "64kib",
            "64Kib",
            "64 kilobytes",
            "-1B",
            "1e3B",
            "0.3B",
            "0.0001KiB",
            "KiB",
            "1KiB ",
        ),
        *("9" * 5000 + "B", "1 MiB\n", "\u0661B"),
        *(True, False, None, [], {}, -1, 1.0, 0.5, float("nan")),
    ],
)
def test_what_is_no_size_is_told_how_to_write_one(written: object) -> None:
    with pytest.raises(ValueError, match=re.escape(units.SIZE_RULE)):
        units.parse_size(written)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        *[(0, "0B"), (1, "1B"), (1023, "1023B"), (1024, "1KiB"), (1536, "1536B"), (100 << 20, "100MiB")],
        *[(1000, "1kB"), (10_000_000, "10MB"), (1 << 30, "1GiB"), (3 << 40, "3TiB"), (1024000, "1000KiB")],
    ],
)
def test_a_size_is_written_as_a_person_would(size: int, text: str) -> None:
    assert units.format_size(size) == text


@given(st.integers(0, 10**15 - 1))  # what a text may hold; no machine has more
def test_a_size_survives_being_written(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == size


@given(st.integers(0, 1000), st.sampled_from(["B", "kB", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"]))
def test_a_size_in_any_unit_survives_being_written(number: int, unit: str) -> None:
    size = units.parse_size(f"{number}{unit}")
    assert units.parse_size(units.format_size(size)) == size


@pytest.mark.parametrize(
    ("written", "mode"),
    [
        ("0660", 0o660),
        ("660", 0o660),
        ("0o660", 0o660),
        ("0", 0),
        ("0000", 0),
        ("27", 0o27),
        ("1777", 0o1777),
    ],
)
def test_a_mode_is_octal(written: str, mode: int) -> None:
    assert units.parse_mode(written) == mode


@pytest.mark.parametrize(
    "written",
    ["", "0888", "rw-rw----", "0x1b0", "-660", "0660 ", "077777", "\u0660660", 660, 0o660, True, None, 6.6],
)
def test_what_is_no_mode_is_told_how_to_write_one(written: object) -> None:
    with pytest.raises(ValueError, match=re.escape(units.MODE_RULE)):
        units.parse_mode(written)


@given(st.integers(0, 0o7777))
def test_a_mode_survives_being_written(mode: int) -> None:
    assert units.parse_mode(units.format_mode(mode)) == mode
