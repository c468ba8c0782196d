"""`.env` files: what a line means."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefork.dev import dotenv


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1", "1"),
        ("A=", ""),
        ("export A=1", "1"),
        ("  A = 1  ", "1"),
        ("A=one two", "one two"),
        ("A=1 # one", "1"),
        ("A=#1", ""),
        ("A=a#b", "a#b"),
        ("A='one # two'", "one # two"),
        ("A='$HOME \\n'", "$HOME \\n"),
        ('A="a\\nb\\t\\"c\\" \\$D \\\\"', 'a\nb\t"c" $D \\'),
        ('A="one"  # two', "one"),
        ('A="first\nsecond"', "first\nsecond"),
        ("A=$B", "$B"),
        ("A=b=c", "b=c"),
        ("A=1\r\nB=2\r\n", "1"),
        ("\ufeffA=1", "1"),
        ("# A=2\n\n  # B\nA=1", "1"),
        ("A=1\nA=2", "2"),
    ],
)
def test_a_value(text: str, value: str) -> None:
    values, strange = dotenv.parse(text)
    assert values["A"] == value
    assert strange == []


@pytest.mark.parametrize("line", ["A", "1A=2", "=1", "A='open", "A: 1", 'A="x" y'])
def test_what_is_no_assignment_is_named_by_its_line_and_hides_no_other(line: str) -> None:
    values, strange = dotenv.parse(f"B=1\n{line}\nC=2\n")
    assert strange[:1] == [2]
    assert values["B"] == "1"
    assert "A" not in values


def test_the_first_file_counts_and_the_environment_more(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=env\nB=env\nnothing\n")
    (tmp_path / ".flaskenv").write_text("B=flask\nC=flask\n")
    values, problems = dotenv.read([tmp_path / ".env", tmp_path / ".flaskenv", tmp_path / "missing"])
    assert values == {"A": "env", "B": "env", "C": "flask"}
    assert problems == [f"{tmp_path}/.env, line 3: is no NAME=VALUE"]
    environment = {"A": "mine"}
    dotenv.apply(values, environment)
    assert environment == {"A": "mine", "B": "env", "C": "flask"}


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe\n")
    values, problems = dotenv.read([tmp_path / ".env"])
    assert values == {}
    assert len(problems) == 1
    assert ".env: cannot be read" in problems[0]
