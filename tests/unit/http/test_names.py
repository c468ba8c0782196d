"""The table of names: right keys, bounded growth."""

from __future__ import annotations

import pytest

from prefork.http import names
from prefork.http.errors import ProtocolError
from prefork.http.limits import MAX_LEARNED_NAME, MAX_LEARNED_NAMES


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    copy = dict(names.KEYS)
    monkeypatch.setattr(names, "KEYS", copy)
    # Other tests of this process may have filled it already.
    monkeypatch.setattr(names, "_FULL", len(copy) + MAX_LEARNED_NAMES)
    return copy


def test_well_known_names_have_the_keys_of_cgi() -> None:
    for name, key in names.KEYS.items():
        if name.lower() in ("content-type", "content-length"):
            assert key == name.upper().replace("-", "_")
        elif key:
            assert key == "HTTP_" + name.upper().replace("-", "_")


@pytest.mark.parametrize(
    "name", ["Host", "host", "HOST", "Cookie", "x-request-id", "X-Request-Id", "X-Request-ID"]
)
def test_spelling_does_not_matter(name: str) -> None:
    assert names.key_of(name) == "HTTP_" + name.upper().replace("-", "_")


@pytest.mark.parametrize("name", ["Proxy", "proxy", "PROXY", "X_Y", "Content_Type", "_"])
def test_dropped(name: str) -> None:
    assert names.key_of(name) == ""


@pytest.mark.parametrize("name", ["", " ", "a b", "a ", "a:", "\xe9", "a\xa0", "(a)"])
def test_no_token_is_no_name_and_is_not_learned(name: str, table: dict[str, str]) -> None:
    before = dict(table)
    for _ in range(2):
        with pytest.raises(ProtocolError, match="bad field name"):
            names.key_of(name)
    assert table == before


def test_a_new_name_is_learned(table: dict[str, str]) -> None:
    assert names.key_of("X-Learn-Me") == "HTTP_X_LEARN_ME"
    assert table["X-Learn-Me"] == "HTTP_X_LEARN_ME"


def test_the_table_is_bounded(table: dict[str, str]) -> None:
    size = len(names.KEYS)
    for number in range(2 * MAX_LEARNED_NAMES):
        assert names.key_of(f"x-{number}") == f"HTTP_X_{number}"
    assert len(table) <= size + MAX_LEARNED_NAMES
    assert names.key_of("x-after-all") == "HTTP_X_AFTER_ALL"


def test_long_names_are_not_remembered(table: dict[str, str]) -> None:
    name = "x" * (MAX_LEARNED_NAME + 1)
    assert names.key_of(name) == "HTTP_" + name.upper()
    assert name not in table
