"""The kind of a switch.

Owns: on or off. Runs in: cli, master. Must not know: which options exist.
"""

from __future__ import annotations

from typing import Any

from prefork.settings.kinds.base import Kind


class Flag(Kind, frozen=True):
    """True or false; no number and no text stands for them."""

    def convert(self, value: object, directory: str) -> bool:
        if isinstance(value, bool):
            return value
        raise ValueError(f"must be {self.unit}")

    def plain(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    @property
    def unit(self) -> str:
        return "true or false, without quotes"
