"""Values written as TOML mean the same when they are read again."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.settings import tomltext
from prefork.settings.tomlfile import parse_value

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False),
    st.dates(min_value=datetime.date(1000, 1, 1)),
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner)), max_leaves=20
)


@given(values)
def test_a_value_survives_being_written(value: Any) -> None:
    written = tomltext.value(value)
    assert "\n" not in written
    assert parse_value(written) == value


def test_not_a_number_survives_being_written() -> None:
    assert math.isnan(parse_value(tomltext.value(math.nan)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb", '"a\\nb"'),
        (True, "true"),
        (["a", 1], '["a", 1]'),
        ({"a b": 1, "c": "d"}, '{"a b" = 1, c = "d"}'),
        ("x" * 500, '"' + "x" * 195 + " ..."),
    ],
)
def test_a_message_shows_a_value_on_one_short_line(value: object, text: str) -> None:
    assert tomltext.shown(value) == text


def test_a_message_about_a_number_too_long_to_print_does_not_fail() -> None:
    assert len(tomltext.shown(10**5000)) <= 200  # Python 3.10.6 and older print it


def test_a_message_about_lists_in_lists_does_not_recurse_for_ever() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert tomltext.shown(value) == "..."
    while value:  # taken apart by hand: freeing it is recursive too in older Pythons
        value = value[0]


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31m", "a\u2028b", "a\u202eb", "a\udc80b", "a\x85b"])
def test_one_line_holds_nothing_that_moves_a_terminal(text: str) -> None:
    assert tomltext.one_line(text).isprintable()
    assert tomltext.one_line(text).startswith("a\\")
