"""The JSON schema of a settings file, for editors and for other tools.

Owns: config/schema.json, made from the model. Pure. Runs in: cli. Must not know: how settings are loaded.
"""

from __future__ import annotations

import json
from typing import Any

from prefork.settings.model import TABLES, Table
from prefork.settings.options import Option


def schema() -> dict[str, Any]:
    """JSON schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of a prefork server",
        "type": "object",
        "properties": {name: _table(table) for name, table in TABLES.items()},
        "required": [name for name, table in TABLES.items() if _required(table)],
        "additionalProperties": False,
    }


def schema_text() -> str:
    """The content of config/schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _table(table: Table) -> dict[str, Any]:
    if table.whole:
        return {"description": table.description, **table.options[table.whole].kind.schema()}
    described: dict[str, Any] = {
        "description": table.description,
        "type": "object",
        "properties": {key: _option(option) for key, option in table.options.items()},
    }
    if required := _required(table):
        described["required"] = required
    return {**described, "additionalProperties": False}


def _option(option: Option) -> dict[str, Any]:
    described = {"description": option.description, **option.kind.schema()}
    if option.required:
        return {**described, "examples": [option.example]}
    return {**described, "default": option.kind.plain(option.default)}


def _required(table: Table) -> list[str]:
    return [key for key, option in table.options.items() if option.required]
