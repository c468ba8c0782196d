"""Files that give no settings at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prefork.errors import EXIT_CONFIG, ConfigError
from prefork.settings.load import load
from prefork.settings.tomlfile import parse_value, read_tables


def complaint(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code == EXIT_CONFIG
    (line,) = caught.value.problems
    return line.removeprefix(f"{path}: ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert complaint(tmp_path / "shop.toml") == "cannot be read: No such file or directory"


def test_a_directory(tmp_path: Path) -> None:
    assert complaint(tmp_path) == "cannot be read: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_is_not_ours_to_read(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.touch(mode=0)
    assert complaint(file) == "cannot be read: Permission denied"


def test_a_name_no_file_can_have() -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load("/a\0b")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[app\n", "line 1, column 5"),
        ("[app]\ntarget = shop\n", "line 2, column 10"),
        ("[app]\n\n  target = \n", "line 3, column 12"),
        ('[app]\ntarget = "a', "line 2, column 12"),
        ("[app]\ntarget = '''a\nb", "line 3, column 2"),
        ("[app]\ntarget", "line 2, column 7"),
        ("[app]\na = 1\na = 2", "line 3, column 6"),
        ("[app]\n[app]", "line 2, column 5"),
        ("a = 1\r\nb = !\r\n", "line 2, column 5"),
    ],
)
def test_a_syntax_error_has_line_column_and_reason(tmp_path: Path, text: str, place: str) -> None:
    file = tmp_path / "shop.toml"
    file.write_bytes(text.encode())
    where, _, reason = complaint(file).partition(": is not TOML: ")
    assert where == place
    assert reason
    assert "(at" not in reason


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_bytes(
        '# café\n[app]\ntarget = "café:app"'.encode("latin-1").replace(b"# caf\xe9", "# café".encode())
    )
    assert complaint(file) == "line 3, column 14: is not UTF-8, as TOML must be"


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "1" * 10_000, "a = 9999-99-99"])
def test_a_file_made_to_break_the_reader(tmp_path: Path, text: str) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(text)
    line = complaint(file)
    assert "TOML" in line or "no such key" in line


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_bytes(b'\xef\xbb\xbf[app]\r\ntarget = "shop:app"\r\n')
    assert load(file).settings.app.target == "shop:app"


def test_an_empty_file_has_no_tables(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.touch()
    assert read_tables(str(file)) == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[
            ("4", 4),
            ("4.5", 4.5),
            ("true", True),
            ('"a"', "a"),
            ("['a', 1]", ["a", 1]),
            ("{a = 1}", {"a": 1}),
        ],
        *[
            ("a", None),
            ("", None),
            ("1\nb = 2", None),
            ("[" * 100_000, None),
            ("1" * 10_000, None),
            ("30s", None),
        ],
    ],
)
def test_a_value_alone(text: str, value: object) -> None:
    found = parse_value(text)
    assert found == value or (value is None and isinstance(found, int))  # Python 3.10.6 reads any number
    assert type(found) is type(value) or value is None
