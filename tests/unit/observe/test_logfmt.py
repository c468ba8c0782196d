"""Any values make one line that reads back as they were."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.observe.logfmt import format_pairs, format_value

_PAIR = re.compile(r'([^ ="]+)=("(?:[^"\\]|\\.)*"|[^ "]*)(?: |$)')
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[nrt\"\\])")
_SHORT = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}

keys = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)


def parse(line: str) -> dict[str, str]:
    """What a reader of the documentation would write."""
    fields: dict[str, str] = {}
    position = 0
    while position < len(line):
        pair = _PAIR.match(line, position)
        assert pair, f"column {position} of {line!r}"
        key, value = pair.groups()
        assert key not in fields
        fields[key] = _ESCAPE.sub(unescape, value[1:-1]) if value.startswith('"') else value
        position = pair.end()
    return fields


def unescape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else _SHORT[code]


@settings(deadline=None)  # a slow machine is no failure
@given(st.dictionaries(keys, st.text() | st.text(alphabet='\\"= \nux0a'), min_size=1))
def test_a_line_reads_back(fields: dict[str, str]) -> None:
    assert parse(format_pairs(fields)) == fields


@settings(deadline=None)  # a slow machine is no failure
@given(st.dictionaries(st.text(), st.text(alphabet=st.characters(), min_size=1), min_size=1))
def test_a_line_is_one_line_that_can_be_shown(fields: dict[str, str]) -> None:
    line = format_pairs(fields)
    assert line.isprintable()
    assert line.splitlines() == [line]
    line.encode()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("GET", "GET"),
        ("/a?b", "/a?b"),
        ("müller", "müller"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', r'"say \"x\""'),
        ("C:\\x", r'"C:\\x"'),
        ("a\nb\r\tc", r'"a\nb\r\tc"'),
        ("\x00\x1b[2J\x7f\x85", r'"\x00\x1b[2J\x7f\x85"'),
        ("\u2028\u202e", r'"\u2028\u202e"'),
        ("\U000e0001", r'"\U000e0001"'),
        ("\udcff", r'"\udcff"'),
    ],
)
def test_values(value: str, written: str) -> None:
    assert format_value(value) == written


@pytest.mark.parametrize(
    ("key", "written"), [("a b", "a_b"), ("a=b", "a_b"), ('"', "_"), ("", "_"), ("a\n", "a_")]
)
def test_a_key_cannot_break_the_line(key: str, written: str) -> None:
    assert format_pairs({key: "1"}) == f"{written}=1"
