"""Kinds of numbers: counts, durations, sizes, file modes.

Owns: their bounds and the wording of their rules. Runs in: cli, master. Must not know: which options exist.
"""

from __future__ import annotations

from typing import Any

from prefork.settings import units
from prefork.settings.kinds.base import Kind

DAY_S = 86400.0
LARGEST_SIZE = 16 << 40


class Whole(Kind, frozen=True):
    """A whole number within bounds."""

    at_least: int
    at_most: int

    def convert(self, value: object, directory: str) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and self.at_least <= value <= self.at_most:
            return value
        raise ValueError(f"must be a whole number from {self.at_least} to {self.at_most}")

    def plain(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.at_least, "maximum": self.at_most}

    @property
    def unit(self) -> str:
        return f"a number from {self.at_least} to {self.at_most}"


class Duration(Kind, frozen=True):
    """A time; kept as a float of seconds."""

    at_least: float = 0.01
    at_most: float = DAY_S

    def convert(self, value: object, directory: str) -> float:
        seconds = units.parse_duration(value)
        if not self.at_least <= seconds <= self.at_most:
            raise ValueError(f"must be from {self._bounds}")
        return seconds

    def plain(self, value: Any) -> Any:
        return units.format_duration(value)

    def schema(self) -> dict[str, Any]:
        number = {"type": "number", "minimum": self.at_least, "maximum": self.at_most}
        return {"anyOf": [number, {"type": "string", "pattern": f"^{units.DURATION_PATTERN}$"}]}

    @property
    def unit(self) -> str:
        return f"a duration from {self._bounds}"

    @property
    def _bounds(self) -> str:
        return f"{units.format_duration(self.at_least)} to {units.format_duration(self.at_most)}"


class Size(Kind, frozen=True):
    """An amount of memory or data; kept as an int of bytes."""

    at_least: int = 0
    at_most: int = LARGEST_SIZE

    def convert(self, value: object, directory: str) -> int:
        size = units.parse_size(value)
        if not self.at_least <= size <= self.at_most:
            raise ValueError(f"must be from {self._bounds}")
        return size

    def plain(self, value: Any) -> Any:
        return units.format_size(value)

    def schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": self.at_least, "maximum": self.at_most}
        return {"anyOf": [number, {"type": "string", "pattern": f"^{units.SIZE_PATTERN}$"}]}

    @property
    def unit(self) -> str:
        return f"a size from {self._bounds}"

    @property
    def _bounds(self) -> str:
        return f"{units.format_size(self.at_least)} to {units.format_size(self.at_most)}"


class Mode(Kind, frozen=True):
    """Permission bits, written as octal digits; empty for none."""

    at_most: int = 0o777
    takes_text = True

    def convert(self, value: object, directory: str) -> int | None:
        if value == "":
            return None
        mode = units.parse_mode(value)
        if mode > self.at_most:
            raise ValueError(f'must be from "0000" to "{units.format_mode(self.at_most)}"')
        return mode

    def plain(self, value: Any) -> Any:
        return "" if value is None else units.format_mode(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^({units.MODE_PATTERN})?$"}

    @property
    def unit(self) -> str:
        return 'octal digits such as "0660"'
