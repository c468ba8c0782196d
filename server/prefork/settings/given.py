"""What was given, from the file and from the command line, before any value is looked at.

Owns: which value wins, where it came from, and keys that do not exist. Runs in: cli, master. Must not know:
how values are converted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from prefork.settings import tomltext
from prefork.settings.kinds.text import Environment
from prefork.settings.model import TABLES, option
from prefork.settings.nearest import did_you_mean, nearest
from prefork.settings.overrides import Override


class Given(msgspec.Struct, frozen=True):
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
    if table in TABLES and key == TABLES[table].whole:
        key, where = "", where.removeprefix(".")
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
            origin = tomltext.one_line(f"file {path}")
            if whole := TABLES[name].whole:
                given[f"{name}.{whole}"] = Given(table, path, origin, file_directory)
                continue
            for key, value in table.items():
                dotted = f"{name}.{key}"
                if key in TABLES[name].options:
                    given[dotted] = Given(value, path, origin, file_directory)
                else:
                    problems.append(problem(path, dotted, value, _no_key(name, key)))
    for override in overrides:
        problems += _lay_over(given, override, directory)
    return given, problems


def _lay_over(given: dict[str, Given], override: Override, directory: str) -> list[str]:
    """Put one value of the command line into `given`; returns the line to show if there is no such key."""
    table, _, rest = override.key.partition(".")
    value, origin = override.value, override.origin
    if table not in TABLES:
        suggestion = did_you_mean(table, TABLES, "[{}]")
        return [problem(origin, override.key, value, f"there is no such table{suggestion}")]
    if whole := TABLES[table].whole:
        _add_entry(given, f"{table}.{whole}", rest, override, directory)
        return []
    if rest in TABLES[table].options:
        given[override.key] = Given(value, origin, origin, directory)
        return []
    key, _, name = rest.partition(".")
    found = option(f"{table}.{key}")
    if not name or found is None or not isinstance(found.kind, Environment):
        return [problem(origin, override.key, value, _no_key(table, rest))]
    _add_entry(given, f"{table}.{key}", name, override, directory)
    return []


def _add_entry(given: dict[str, Given], dotted: str, name: str, override: Override, directory: str) -> None:
    """One entry more for the option `dotted`, which is a table itself."""
    before = given.get(dotted)
    if before is None or not isinstance(before.value, dict):
        given[dotted] = Given({name: override.value}, override.origin, override.origin, directory)
        return
    # All relative paths of one value start in one directory: the entry is made to start in that of the others.
    value = {**before.value, name: _moved(override.value, directory)}
    given[dotted] = Given(
        value, _both(before.place, override.origin), _both(before.origin, override.origin), before.directory
    )


def _moved(value: Any, directory: str) -> Any:
    if isinstance(value, dict) and isinstance(path := value.get("directory"), str) and path:
        return {**value, "directory": os.path.join(directory, path)}  # noqa: PTH118 - pathlib keeps ".."
    return value


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
