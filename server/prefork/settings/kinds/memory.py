"""How much memory: a size, or a share of what the server may use.

Owns: those two ways to write it. Runs in: cli, master. Must not know: how much that is (see `settings.memory`).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from prefork.settings import units
from prefork.settings.kinds.base import Kind
from prefork.settings.kinds.numbers import LARGEST_SIZE

_PERCENT = r"([0-9]{1,3}(?:\.[0-9]{1,3})?) ?%"

_RULE = 'must be a size such as "512MiB", or a share such as "80%"'


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many percent of the memory that the server may use, for all workers together."""

    percent: float


class MemoryLimit(Kind, frozen=True):
    """`"512MiB"`, `536870912` or `"80%"`; 0 for no limit."""

    def convert(self, value: object, directory: str) -> int | Share:
        found = re.fullmatch(_PERCENT, value) if isinstance(value, str) else None
        if found is not None:
            percent = float(found[1])
            if not 1 <= percent <= 100:
                raise ValueError('must be from "1%" to "100%"')
            return Share(percent)
        try:
            size = units.parse_size(value)
        except ValueError:
            raise ValueError(_RULE) from None
        if size > LARGEST_SIZE:
            raise ValueError(f"must be from 0B to {units.format_size(LARGEST_SIZE)}")
        return size

    def plain(self, value: Any) -> Any:
        return f"{value.percent:g}%" if isinstance(value, Share) else units.format_size(value)

    def schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": 0, "maximum": LARGEST_SIZE}
        return {"anyOf": [number, {"type": "string", "pattern": f"^({units.SIZE_PATTERN}|{_PERCENT})$"}]}

    @property
    def unit(self) -> str:
        return 'a size up to 16TiB, or a share from "1%" to "100%"'
