"""docs/http.md names tests; they exist, and no case is missing from it by accident of renaming."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from unit.http.cases import ACCEPTED, REFUSED

HERE = Path(__file__).parent
TABLE = HERE.parents[2] / "docs" / "http.md"


def known_names() -> set[str]:
    names = {case.name for case in [*ACCEPTED, *REFUSED]}
    for module in HERE.glob("test_*.py"):
        names.update(re.findall(r"^def (test_\w+)", module.read_text(encoding="utf-8"), re.MULTILINE))
    return names


def named_tests() -> list[str]:
    rows = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.rstrip(" |").rpartition(" | ")[2])]


def test_the_table_is_found() -> None:
    assert len(named_tests()) > 100


@pytest.mark.parametrize("name", named_tests())
def test_named_test_exists(name: str) -> None:
    if name.endswith("*"):
        assert any(known.startswith(name[:-1]) for known in known_names())
    else:
        assert name in known_names()
