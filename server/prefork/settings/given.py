"""What was given, from the file and from the command line, before any value is looked at.

Owns: which value wins, where it came from, and keys that do not exist. Runs in: cli, master. Must not know:
how values are converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prefork.settings import tomltext
from prefork.settings.kinds.text import Environment
from prefork.settings.model import TABLES, option
from prefork.settings.nearest import did_you_mean, nearest
from prefork.settings.overrides import Override


@dataclass(frozen=True, slots=True)
class Given:
    """One value as it was written."""

    value: Any
    place: str
    """How a message begins: the file's path, or "--set"."""
    origin: str
    """How `prefork config` says it: "file /etc/shop.toml", or "--set"."""
    directory: str
    """Where relative paths in it start."""


def problem(place: str, dotted: str, value: object, rule: str, where: str = "") -> str:
    """One mistake as one line."""
    table, _, key = dotted.partition(".")
    return f"{place}: [{table}] {key}{where} = {tomltext.shown(value)}: {rule}"


def gather(
    file: tuple[str, str, Mapping[str, Any]] | None,
    overrides: Iterable[Override],
    directory: str,
) -> tuple[dict[str, Given], list[str]]:
    """All given values by "table.key", and a line for each key that does not exist.

    `file` is path, directory and content of the settings file; `directory` is where relative paths on the
    command line start.
    """
    given: dict[str, Given] = {}
    problems: list[str] = []
    if file is not None:
        path, file_directory, content = file
        for name, table in content.items():
            if name not in TABLES or not isinstance(table, dict):
                problems.append(_no_table(path, name, table))
                continue
            for key, value in table.items():
                dotted = f"{name}.{key}"
                if key in TABLES[name].options:
                    given[dotted] = Given(value, path, tomltext.one_line(f"file {path}"), file_directory)
                else:
                    problems.append(problem(path, dotted, value, _no_key(name, key)))
    for override in overrides:
        problems += _lay_over(given, override, directory)
    return given, problems


def _lay_over(given: dict[str, Given], override: Override, directory: str) -> list[str]:
    """Put one value of the command line into `given`; returns the line to show if there is no such key."""
    table, _, key = override.key.partition(".")
    value, origin, place = override.value, override.origin, override.origin
    if table not in TABLES:
        suggestion = did_you_mean(table, TABLES, "[{}]")
        return [problem(origin, override.key, value, f"there is no such table{suggestion}")]
    if key not in TABLES[table].options:
        key, _, name = key.partition(".")
        found = option(f"{table}.{key}")
        if not name or found is None or not isinstance(found.kind, Environment):
            return [problem(origin, override.key, value, _no_key(table, override.key.partition(".")[2]))]
        before = given.get(f"{table}.{key}")
        value = {name: value}
        if before is not None and isinstance(before.value, dict):
            value = {**before.value, **value}
            origin = _both(before.origin, origin)
            place = _both(before.place, place)
    given[f"{table}.{key}"] = Given(value, place, origin, directory)
    return []


def _both(before: str, origin: str) -> str:
    return before if before.endswith(origin) else f"{before}, {origin}"


def _no_key(table: str, key: str) -> str:
    elsewhere = next((other for other in TABLES.values() if key in other.options), None)
    if elsewhere is not None:
        return f"there is no such key in [{table}]; it belongs in [{elsewhere.name}]"
    return f"there is no such key{_suggestion(table, key)}"


def _suggestion(table: str, key: str) -> str:
    """The nearest key of this table, or else of any."""
    here = did_you_mean(key, TABLES[table].options) if table in TABLES else ""
    owners = {name: other.name for other in TABLES.values() for name in other.options}
    found = nearest(key, owners)
    return here or (f'; did you mean "{owners[found]}.{found}"?' if found else "")


def _no_table(path: str, name: str, value: object) -> str:
    """Why `name` at the top of the file is wrong."""
    if name in TABLES:
        return f"{path}: {name} = {tomltext.shown(value)}: is a table; write [{name}] and its keys under it"
    suggestion = did_you_mean(name, TABLES, "[{}]")
    if isinstance(value, dict):
        return f"{path}: [{name}]: there is no such table{suggestion}"
    owner = next((table for table in TABLES.values() if name in table.options), None)
    if owner is not None:
        rule = f"belongs in the table [{owner.name}]"
    else:
        rule = f"there is no such key{_suggestion('', name) or suggestion}"
    return f"{path}: {tomltext.key(name)} = {tomltext.shown(value)}: {rule}"
