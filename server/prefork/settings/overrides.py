"""Settings given on the command line.

Owns: what a text behind `--set table.key=` means. Runs in: cli. Must not know: argparse, files.
"""

from __future__ import annotations

from typing import Any

import msgspec

from prefork.errors import ConfigError
from prefork.settings import tomlfile
from prefork.settings.model import option


class Override(msgspec.Struct, frozen=True):
    """One value that is stronger than the file's."""

    key: str
    """"table.key"; or "table.key.name" for one entry of a key that is itself a table."""
    value: Any
    """As TOML would give it."""
    origin: str
    """Where it was given, such as "--bind"."""


def parse_assignment(text: str, origin: str = "--set") -> Override:
    """`table.key=value`. Raises `ConfigError`."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.partition(".")):
        raise ConfigError(f'{origin} {text}: write table.key=value, such as "{origin} workers.count=4"')
    return Override(key, value_of(key, value.strip()), origin)


def value_of(key: str, text: str) -> Any:
    """What `text` means as the value of `key`: TOML if it is that and can be meant so, else the text itself.

    `4` is a number for workers.count and a text for server.name; `30s` needs no quotes anywhere.
    """
    table, _, rest = key.partition(".")
    name, _, entry = rest.partition(".")
    known = option(f"{table}.{name}")
    value = tomlfile.parse_value(text)
    if value is None or isinstance(value, str):
        return text if value is None else value
    wants_text = known is not None and known.kind.takes_text and (entry or not isinstance(value, dict))
    return text if wants_text else value
