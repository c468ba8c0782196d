"""The files in config/ say what the model says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from prefork.settings.load import load
from prefork.settings.model import TABLES, AppSettings, Settings
from prefork.settings.reference import effective_text, reference_text
from prefork.settings.schema import schema, schema_text
from prefork.settings.tomlfile import read_tables

from .conftest import Loader

CONFIG = Path(__file__).parents[3] / "config"
ANEW = "make it anew: prefork config --{0} > config/{1}"


def uncommented(text: str) -> str:
    """The reference with every key in force."""
    return re.sub(r"(?m)^#([a-z_]+ = )", r"\1", text)


def test_the_reference_is_up_to_date() -> None:
    assert (CONFIG / "reference.toml").read_text() == reference_text(), ANEW.format(
        "reference", "reference.toml"
    )


def test_the_schema_is_up_to_date() -> None:
    assert (CONFIG / "schema.json").read_text() == schema_text(), ANEW.format("schema", "schema.json")


def test_the_reference_says_the_defaults() -> None:
    """As it is, and with every key in force."""
    plain = load(CONFIG / "reference.toml").settings
    assert plain.workers == Settings(app=AppSettings(target="a:b")).workers
    assert load(CONFIG / "reference.toml", directory="/").settings == plain


def test_the_reference_with_every_key_in_force_means_the_same(load_text: Loader) -> None:
    text = uncommented(reference_text())
    loaded = load_text(text)
    assert all(origin.startswith("file ") for origin in loaded.origins.values())
    assert loaded.settings == load_text(reference_text()).settings


def test_the_reference_has_every_key_once() -> None:
    found = re.findall(r"(?m)^#?([a-z_]+) = |^\[([a-z]+)\]", reference_text())
    expected = [
        entry
        for name, table in TABLES.items()
        for entry in [("", name), *((key, "") for key in table.options if not table.whole)]
    ]
    assert found == expected


def test_the_reference_fits_on_a_screen() -> None:
    assert max(map(len, reference_text().splitlines())) <= 110


@pytest.mark.parametrize("name", ["minimal.toml", "server.toml"])
def test_the_examples_load(name: str) -> None:
    load(CONFIG / name)


def test_the_minimal_example_is_minimal() -> None:
    settings = load(CONFIG / "minimal.toml").settings
    assert settings.server.listen == Settings(app=AppSettings(target="a:b")).server.listen
    assert settings.workers == Settings(app=AppSettings(target="a:b")).workers


def test_the_example_that_make_run_uses() -> None:
    settings = load(CONFIG / "server.toml").settings
    assert settings.app.target == "prefork.demo:app"
    assert [entry.address for entry in settings.server.listen] == ["127.0.0.1:8000"]
    assert settings.workers.count == 2
    assert settings.log.access == "stderr"


def test_the_settings_in_effect_can_be_loaded_again(load_text: Loader, tmp_path: Path) -> None:
    loaded = load_text(
        '[app]\ntarget = "shop:app"\nenv = {"a b" = "x\\ny", C = "\\"#"}\npath = ["."]\n[server]\numask = "0027"\n'
        'listen = ["[::1]:1", {address = "unix:a", mode = "0660", user = "root"}]\n'
        "[workers]\nboot_timeout = 1.25\n[requests]\nmax_body = 1000",
        "workers.count=3",
    )
    text = effective_text(loaded.settings, loaded.origins)
    assert load_text(text).settings == loaded.settings
    assert "count = 3  # --set\n" in text
    assert f'umask = "0027"  # file {tmp_path}/shop.toml\n' in text
    assert 'boot_timeout = "1.25s"  # file' in text
    assert 'max_body = "1kB"  # file' in text
    assert 'level = "info"  # default\n' in text


# -- the schema --------------------------------------------------------------------------------------------------


def violations(value: Any, rule: dict[str, Any], where: str = "") -> list[str]:
    """What a value breaks of the part of JSON schema that ours uses. (A validator would be one more dependency.)"""
    known = {"$schema", "title", "description", "default", "examples"}
    found: list[str] = []
    for word, argument in rule.items():
        if word == "type":
            types = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}
            types["boolean"] = bool
            right = isinstance(value, types[argument]) and isinstance(value, bool) == (argument == "boolean")
        elif word == "anyOf":
            right = any(not violations(value, choice) for choice in argument)
        elif word == "enum":
            right = value in argument
        elif word == "const":
            right = value == argument
        elif word == "pattern":
            right = not isinstance(value, str) or re.search(argument, value) is not None
        elif word in ("minimum", "maximum"):
            number = isinstance(value, int | float)
            right = not number or (value >= argument if word == "minimum" else value <= argument)
        elif word == "minItems":
            right = not isinstance(value, list) or len(value) >= argument
        elif word == "items":
            found += [line for item in value for line in violations(item, argument, f"{where}[]")]
            continue
        elif word == "required":
            right = all(key in value for key in argument)
        elif word == "properties":
            found += [
                line
                for key in argument.keys() & value.keys()
                for line in violations(value[key], argument[key], f"{where}.{key}")
            ]
            continue
        elif word == "additionalProperties":
            right = argument is not False or value.keys() <= rule["properties"].keys()
        else:
            assert word in known, word
            continue
        if not right:
            return [f"{where}: {word}"]
    return found


@pytest.mark.parametrize("name", ["minimal.toml", "server.toml", "reference.toml"])
def test_the_examples_follow_the_schema(name: str) -> None:
    assert violations(read_tables(str(CONFIG / name)), schema()) == []


def test_every_default_follows_the_schema(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text(uncommented(reference_text()))
    assert violations(read_tables(str(file)), schema()) == []


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("workers", "count", 4),
        ("workers", "boot_timeout", 30),
        ("workers", "boot_timeout", 0.5),
        ("workers", "boot_timeout", "5m"),
        ("requests", "max_body", 1000),
        ("requests", "max_body", "1.5GiB"),
        ("server", "listen", "127.0.0.1:80"),
        (
            "server",
            "listen",
            ["127.0.0.1:80", {"address": "unix:a", "mode": "0660", "user": "", "group": "x"}],
        ),
        ("server", "umask", "27"),
        ("app", "env", {"A": "b"}),
        ("app", "path", "lib"),
        ("log", "access", "./log"),
    ],
)
def test_the_schema_allows_what_loading_allows(table: str, key: str, value: Any) -> None:
    assert (
        violations(
            {
                "app": {"target": "a:b"},
                table: {"target": "a:b", key: value} if table == "app" else {key: value},
            },
            schema(),
        )
        == []
    )


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("workers", "count", "many"),
        ("workers", "count", 0),
        ("workers", "cuont", 4),
        ("workers", "threads", True),
        ("workers", "boot_timeout", "30"),
        ("workers", "boot_timeout", -1),
        ("requests", "max_body", "10 megabytes"),
        ("requests", "max_body", 1.5),
        ("server", "listen", []),
        ("server", "listen", ["8000"]),
        ("server", "listen", [{"mode": "0660"}]),
        ("server", "listen", [{"address": "unix:a", "mod": "0660"}]),
        ("server", "umask", 27),
        ("app", "preload", "sometimes"),
        ("app", "path", [1]),
        ("log", "access", "on"),
        ("nothing", "x", 1),
    ],
)
def test_the_schema_refuses_what_loading_refuses(table: str, key: str, value: Any) -> None:
    assert violations(
        {"app": {"target": "a:b"}, table: {"target": "a:b", key: value} if table == "app" else {key: value}},
        schema(),
    )


def test_the_schema_needs_an_application() -> None:
    assert violations({}, schema())
    assert violations({"app": {}}, schema())


def test_the_schema_is_json_of_the_2020_12_draft() -> None:
    assert json.loads(schema_text())["$schema"] == "https://json-schema.org/draft/2020-12/schema"
