"""Loading the settings: a TOML file, the command line and the defaults become one `Settings`.

Owns: the order of it, and that one run finds every mistake. Runs in: cli; and master, at a reload, through
the function that the cli hands it. Must not know: processes, sockets, argparse.

The command line is stronger than the file, the file stronger than the defaults.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from prefork.errors import ConfigError
from prefork.settings.combinations import broken_rules
from prefork.settings.control import default_control, identity_of
from prefork.settings.files import missing_files
from prefork.settings.given import Given, gather, problem
from prefork.settings.kinds.base import InvalidValueError, Mistake
from prefork.settings.kinds.paths import absolute
from prefork.settings.model import LONGEST_NAME, TABLES, RequestSettings, Settings, option
from prefork.settings.overrides import Override
from prefork.settings.tomlfile import read_tables
from prefork.settings.tomltext import one_line

DEFAULT_ORIGIN = "default"


class Loaded(msgspec.Struct, frozen=True):
    """Settings, and where each came from."""

    settings: Settings
    origins: Mapping[str, str]
    """"table.key" -> "default", "file /etc/shop.toml", "--set", "--bind", ... for every key."""


def load(
    file: str | os.PathLike[str] | None = None,
    overrides: Iterable[Override] = (),
    *,
    directory: str | os.PathLike[str] | None = None,
) -> Loaded:
    """Load settings from `file` (if any) and `overrides`.

    Relative paths in the file start in its directory, those of overrides (and `file` itself) in `directory`,
    by default the current one. Raises `ConfigError` with a line for every mistake.
    """
    start = os.fspath(directory) if directory is not None else os.getcwd()  # noqa: PTH109
    path = absolute(os.fspath(file), start) if file is not None else None
    source = None if path is None else (path, os.path.dirname(path), read_tables(path))  # noqa: PTH120
    given, problems = gather(source, overrides, start)
    values = _convert(given, problems)
    problems += _missing(given, path or "command line")
    problems += _impossible(values, given)
    if problems:
        raise ConfigError(map(one_line, problems))
    return Loaded(_build({**values, **_derived(values, path, start)}), _origins(given))


def _convert(given: Mapping[str, Given], problems: list[str]) -> dict[str, Any]:
    """Each given value by itself, so that one mistake hides no other; `problems` gets a line for each bad one."""
    values: dict[str, Any] = {}
    for dotted, written in given.items():
        found = option(dotted)
        assert found is not None, dotted
        try:
            values[dotted] = found.kind.convert(written.value, written.directory)
        except InvalidValueError as error:
            problems += [_line(written, dotted, mistake) for mistake in error.mistakes]
        except ValueError as error:
            problems.append(_line(written, dotted, Mistake(written.value, str(error))))
    return values


def _line(written: Given, dotted: str, mistake: Mistake) -> str:
    return problem(written.place, dotted, mistake.value, mistake.rule, mistake.where)


def _missing(given: Mapping[str, Given], place: str) -> list[str]:
    """A line for each required key that was not given."""
    return [
        f'{place}: [{table.name}] {key} is missing: write {key} = "{found.example}", say'
        for table in TABLES.values()
        for key, found in table.options.items()
        if found.required and f"{table.name}.{key}" not in given
    ]


def _impossible(values: Mapping[str, Any], given: Mapping[str, Given]) -> list[str]:
    """A line for each given value that is right in itself but not with the others, or not on this machine."""
    unset = {
        f"{table.name}.{key}": found.default
        for table in TABLES.values()
        for key, found in table.options.items()
        if f"{table.name}.{key}" not in given
    }
    lines: list[str] = []
    for dotted, rule in broken_rules({**values, **unset}):
        # Nobody is blamed for a default: it gives way to whatever was written.
        if dotted in given:
            lines.append(_line(given[dotted], dotted, Mistake(given[dotted].value, rule)))
    lines += [_line(given[dotted], dotted, mistake) for dotted, mistake in missing_files(values)]
    return lines


def _build(values: Mapping[str, Any]) -> Settings:
    tables = {
        name: table.struct(
            **{key: values[f"{name}.{key}"] for key in table.options if f"{name}.{key}" in values}
        )
        for name, table in TABLES.items()
    }
    return Settings(**tables)  # type: ignore[arg-type]  # as _convert made them


def _origins(given: Mapping[str, Given]) -> dict[str, str]:
    return {
        dotted: given[dotted].origin if dotted in given else DEFAULT_ORIGIN
        for table in TABLES.values()
        for dotted in (f"{table.name}.{key}" for key in table.options)
    }


def _derived(values: Mapping[str, Any], path: str | None, directory: str) -> dict[str, Any]:
    """The defaults that depend on other settings."""
    derived: dict[str, Any] = {}
    if not values.get("server.name"):
        derived["server.name"] = _default_name(path, values["app.target"])
    if not values.get("server.control"):
        name = derived.get("server.name") or values["server.name"]
        identity = identity_of(path, directory, values["app.target"])
        derived["server.control"] = default_control(name, identity)
    if "requests.body_memory" not in values and values.get("requests.max_body"):
        usual = RequestSettings().body_memory
        derived["requests.body_memory"] = min(usual, values["requests.max_body"])
    return derived


def _default_name(path: str | None, target: str) -> str:
    """The file's name without its end, or the application's module."""
    name = Path(path).stem if path is not None else target.partition(":")[0]
    return "".join(character if character.isprintable() else "?" for character in name)[:LONGEST_NAME]
