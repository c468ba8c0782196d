"""The nearest thing that would have been right."""

from __future__ import annotations

import pytest

from prefork.settings.nearest import did_you_mean, nearest

KEYS = ["count", "threads", "max_body", "max_headers", "--workers"]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        *[
            ("conut", "count"),
            ("COUNT", "count"),
            ("counts", "count"),
            ("thread", "threads"),
            ("max-body", "max_body"),
        ],
        *[
            ("maxbody", "max_body"),
            ("max_header", "max_headers"),
            ("--wrokers", "--workers"),
            ("workers", "--workers"),
        ],
        *[("xyzzy", None), ("", None), ("x" * 100_000, None)],
    ],
)
def test_a_slip_finds_what_was_meant(word: str, found: str | None) -> None:
    assert nearest(word, KEYS) == found


def test_there_may_be_nothing_to_choose_from() -> None:
    assert nearest("count", []) is None


def test_the_words_of_a_suggestion() -> None:
    assert did_you_mean("conut", KEYS) == '; did you mean "count"?'
    assert did_you_mean("conut", KEYS, "[{}]") == "; did you mean [count]?"
    assert did_you_mean("xyzzy", KEYS) == ""
