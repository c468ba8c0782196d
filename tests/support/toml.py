"""Just enough of a TOML writer for the settings that tests make up."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def dumps(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Text of a TOML file with one level of tables; values may be scalars, lists and (inline) tables."""
    lines: list[str] = []
    for table, entries in tables.items():
        lines.append(f"[{table}]")
        lines += [f"{_key(key)} = {_value(value)}" for key, value in entries.items()]
        lines.append("")
    return "\n".join(lines)


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    # A JSON string without surrogate escapes is also a TOML basic string (TOML 1.0, "String").
    return json.dumps(str(value), ensure_ascii=False)
