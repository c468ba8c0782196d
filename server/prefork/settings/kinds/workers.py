"""How many workers: a number, "auto", or a range that follows the load.

Owns: those three ways to write it. Runs in: cli, master. Must not know: how many that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from prefork.settings.kinds.base import InvalidValueError, Kind, Mistake

MOST = 4096

AUTO = "auto"

_RULE = f'must be "{AUTO}", a whole number from 1 to {MOST}, or {{min = 2, max = 8}}'


class CountRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Not fewer than `min`, not more than `max`."""

    min: int
    max: int


class WorkerCount(Kind, frozen=True):
    """`4`, `"auto"` or `{min = 2, max = 8}`."""

    def convert(self, value: object, directory: str) -> int | str | CountRange:
        if value == AUTO:
            return AUTO
        if _is_whole(value, 1):
            return value  # type: ignore[return-value]
        if isinstance(value, Mapping):
            return _range(value)
        raise ValueError(_RULE)

    def plain(self, value: Any) -> Any:
        return {"min": value.min, "max": value.max} if isinstance(value, CountRange) else value

    def schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": 1, "maximum": MOST}
        bounds = {
            "type": "object",
            "properties": {"min": {**number, "minimum": 0}, "max": number},
            "required": ["min", "max"],
            "additionalProperties": False,
        }
        return {"anyOf": [{"const": AUTO}, number, bounds]}

    @property
    def unit(self) -> str:
        return f'"{AUTO}", a number from 1 to {MOST}, or {{min = 2, max = 8}}'


def _range(value: Mapping[object, object]) -> CountRange:
    if value.keys() != {"min", "max"}:
        raise ValueError(_RULE)
    least, most = value["min"], value["max"]
    mistakes = []
    if not _is_whole(least, 0):
        mistakes.append(Mistake(least, f"must be a whole number from 0 to {MOST}", ".min"))
    if not _is_whole(most, 1):
        mistakes.append(Mistake(most, f"must be a whole number from 1 to {MOST}", ".max"))
    if not mistakes and most < least:  # type: ignore[operator]
        mistakes.append(Mistake(most, f"must not be smaller than min, which is {least}", ".max"))
    if mistakes:
        raise InvalidValueError(mistakes)
    return CountRange(least, most)  # type: ignore[arg-type]


def _is_whole(value: object, at_least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and at_least <= value <= MOST
