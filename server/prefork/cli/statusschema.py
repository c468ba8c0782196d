"""The JSON schema of `prefork status --json`, docs/status.schema.json.

Owns: that document, made from the model. Runs in: cli. Must not know: servers.
"""

from __future__ import annotations

import ast
import inspect
import json
from types import ModuleType
from typing import Any

import msgspec

from prefork.ipc import status
from prefork.observe import memory


def schema_text() -> str:
    """The content of docs/status.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """JSON schema, draft 2020-12. Fields that it does not name may be there: they are from a newer release."""
    (_, of_memory), described = msgspec.json.schema_components([status.Status, memory.Memory])
    for module in (status, memory):
        _describe(described, module)
    worker = described["WorkerStatus"]
    worker["properties"]["memory"] = {
        "anyOf": [of_memory, {"type": "null"}],
        "description": "Measured by the command, not by the server; null if there is no such process.",
    }
    for each in described.values():
        _require_all(each)
    top = described.pop("Status")
    top["properties"]["v"]["const"] = status.STATUS_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What a prefork server says about itself (prefork status --json)",
        **{key: value for key, value in top.items() if key != "title"},
        "$defs": {name: described[name] for name in sorted(described)},
    }


def _require_all(described: dict[str, Any]) -> None:
    """Everything is always written; defaults are for readers that meet an older server."""
    described["required"] = list(described["properties"])
    for field in described["properties"].values():
        field.pop("default", None)


def _describe(described: dict[str, Any], module: ModuleType) -> None:
    """Give each field the text that stands below it in the source."""
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef) or node.name not in described:
            continue
        properties = described[node.name].get("properties", {})
        for field, text in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                words = inspect.cleandoc(text.value.value).replace("\n", " ")
                properties[field.target.id]["description"] = words
