"""RFC 9110 section 13: every row of its table of preconditions."""

from __future__ import annotations

import calendar
import time
from email.utils import formatdate

import pytest

from prefork.http.conditional import Validators, Verdict, evaluate, range_holds
from prefork.http.dates import format_date, parse_date

MODIFIED = calendar.timegm((1994, 11, 6, 8, 49, 37))
SAME = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
STRONG = Validators('"a"', MODIFIED)
WEAK = Validators('W/"a"', MODIFIED)
OK, UNCHANGED, FAILED = Verdict.PROCEED, Verdict.NOT_MODIFIED, Verdict.FAILED


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, OK),
        ({"IF_NONE_MATCH": '"a"'}, UNCHANGED),
        ({"IF_NONE_MATCH": 'W/"a"'}, UNCHANGED),
        ({"IF_NONE_MATCH": '"b", "a"'}, UNCHANGED),
        ({"IF_NONE_MATCH": '"b",, ,"a" ,'}, UNCHANGED),
        ({"IF_NONE_MATCH": '"b"'}, OK),
        ({"IF_NONE_MATCH": " * "}, UNCHANGED),
        ({"IF_NONE_MATCH": "a"}, OK),
        ({"IF_NONE_MATCH": '"b" "a"'}, OK),
        ({"IF_NONE_MATCH": ""}, OK),
        ({"IF_NONE_MATCH": '"a,b"'}, OK),
        # If-Modified-Since counts only without If-None-Match (13.1.3).
        ({"IF_MODIFIED_SINCE": SAME}, UNCHANGED),
        ({"IF_MODIFIED_SINCE": AFTER}, UNCHANGED),
        ({"IF_MODIFIED_SINCE": BEFORE}, OK),
        ({"IF_MODIFIED_SINCE": "yesterday"}, OK),
        ({"IF_MODIFIED_SINCE": SAME, "IF_NONE_MATCH": '"b"'}, OK),
        ({"IF_MODIFIED_SINCE": BEFORE, "IF_NONE_MATCH": '"a"'}, UNCHANGED),
        ({"IF_MATCH": '"a"'}, OK),
        ({"IF_MATCH": "*"}, OK),
        ({"IF_MATCH": '"b"'}, FAILED),
        ({"IF_MATCH": 'W/"a"'}, FAILED),
        ({"IF_MATCH": "rubbish"}, FAILED),
        ({"IF_UNMODIFIED_SINCE": SAME}, OK),
        ({"IF_UNMODIFIED_SINCE": BEFORE}, FAILED),
        ({"IF_UNMODIFIED_SINCE": "yesterday"}, OK),
        # If-Unmodified-Since counts only without If-Match (13.1.4).
        ({"IF_UNMODIFIED_SINCE": BEFORE, "IF_MATCH": '"a"'}, OK),
        # A failed first step wins over the later ones.
        ({"IF_MATCH": '"b"', "IF_NONE_MATCH": '"a"'}, FAILED),
        ({"IF_MATCH": '"a"', "IF_NONE_MATCH": '"a"'}, UNCHANGED),
        ({"IF_UNMODIFIED_SINCE": SAME, "IF_MODIFIED_SINCE": SAME}, UNCHANGED),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_preconditions(method: str, fields: dict[str, str], verdict: Verdict) -> None:
    assert evaluate(method, {f"HTTP_{name}": value for name, value in fields.items()}, STRONG) is verdict


def test_a_weak_tag_is_good_for_if_none_match_only() -> None:
    assert evaluate("GET", {"HTTP_IF_NONE_MATCH": '"a"'}, WEAK) is UNCHANGED
    assert evaluate("GET", {"HTTP_IF_MATCH": 'W/"a"'}, WEAK) is FAILED


def test_methods_that_change_something_are_refused_not_unmodified() -> None:
    assert evaluate("PUT", {"HTTP_IF_NONE_MATCH": "*"}, STRONG) is FAILED
    assert evaluate("PUT", {"HTTP_IF_MODIFIED_SINCE": SAME}, STRONG) is OK


def test_without_validators_only_the_star_matches() -> None:
    nothing = Validators(None, None)
    assert evaluate("GET", {"HTTP_IF_NONE_MATCH": '"a"', "HTTP_IF_MODIFIED_SINCE": SAME}, nothing) is OK
    assert evaluate("GET", {"HTTP_IF_MATCH": '"a"'}, nothing) is FAILED
    assert evaluate("GET", {"HTTP_IF_NONE_MATCH": "*"}, nothing) is UNCHANGED


@pytest.mark.parametrize(
    ("condition", "validators", "later_s", "holds"),
    [
        (None, STRONG, 0, True),
        ('"a"', STRONG, 0, True),
        ('"b"', STRONG, 9, False),
        ('W/"a"', STRONG, 9, False),
        ('W/"a"', WEAK, 9, False),
        ('"a", "b"', STRONG, 9, False),
        ("*", STRONG, 9, False),
        (SAME, STRONG, 9, True),
        (SAME, STRONG, 1, False),  # the file could have changed again within that second
        (AFTER, STRONG, 9, False),
        (BEFORE, STRONG, 9, False),
        ("rubbish", STRONG, 9, False),
        (SAME, Validators('"a"', None), 9, False),
    ],
)
def test_if_range(condition: str | None, validators: Validators, later_s: int, holds: bool) -> None:
    assert range_holds(condition, validators, MODIFIED + later_s) is holds


@pytest.mark.parametrize(
    "text",
    [SAME, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
    ids=["fixdate", "850", "asctime"],
)
def test_the_three_forms_of_a_date(text: str) -> None:
    assert parse_date(text) == MODIFIED


def test_a_two_digit_year_is_not_in_the_far_future() -> None:
    assert parse_date("Sunday, 06-Nov-94 08:49:37 GMT", now_year=2026) == MODIFIED
    assert parse_date("Sunday, 06-Nov-30 08:49:37 GMT", 2026) == calendar.timegm((2030, 11, 6, 8, 49, 37))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=5",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize("second", [0, 951_782_400, 1_700_000_000, 4_102_444_799])
def test_dates_are_written_as_the_standard_library_writes_them(second: int) -> None:
    text = format_date(time.gmtime(second))
    assert text == formatdate(second, usegmt=True)
    assert parse_date(text) == second
