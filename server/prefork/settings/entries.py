"""Tables inside a list: the entries of `server.listen` and of `tls.sni`.

Owns: converting one entry by the options of its struct. Runs in: cli, master. Must not know: which options exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefork.settings.kinds.base import Mistake
from prefork.settings.nearest import did_you_mean
from prefork.settings.options import Option


def convert_entry(
    table: Mapping[str, Any], options: Mapping[str, Option], directory: str, where: str
) -> tuple[dict[str, Any], list[Mistake]]:
    """The values of `table` ready to use, and what is wrong with it. `where` is its place in the list, "[0]"."""
    values: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for key, value in table.items():
        option = options.get(key)
        inside = f"{where}.{key}"
        if option is None:
            mistakes.append(Mistake(value, f"there is no such key{did_you_mean(key, options)}", inside))
            continue
        try:
            values[key] = option.kind.convert(value, directory)
        except ValueError as error:
            found = getattr(error, "mistakes", (Mistake(value, str(error)),))
            mistakes += [Mistake(each.value, each.rule, inside + each.where) for each in found]
    return values, mistakes


def plain_entry(entry: Any, options: Mapping[str, Option]) -> dict[str, Any]:
    """The reverse, without what has its default."""
    return {
        key: option.kind.plain(getattr(entry, key))
        for key, option in options.items()
        if option.required or getattr(entry, key) != option.default
    }


def entry_schema(options: Mapping[str, Option]) -> dict[str, Any]:
    """JSON schema of an entry written as a table."""
    return {
        "type": "object",
        "properties": {
            key: {"description": option.description, **option.kind.schema()}
            for key, option in options.items()
        },
        "required": [key for key, option in options.items() if option.required],
        "additionalProperties": False,
    }
