"""What a kind of value is.

Owns: the interface between the table of options and everything that walks it (loading, schema, reference,
printing). Runs in: cli, master. Must not know: files, and which options exist.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec


class Mistake(msgspec.Struct, frozen=True):
    """One thing wrong inside one value."""

    value: object
    rule: str
    where: str = ""
    """Which part of the option's value, appended to its key: "[1].mode", ".LANG"; empty for the whole."""


class InvalidValueError(ValueError):
    """The value breaks one or more rules."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("; ".join(mistake.rule for mistake in mistakes))
        self.mistakes = tuple(mistakes)


class Kind(msgspec.Struct, frozen=True):
    """A kind of value; `convert` and `plain` are each other's reverse."""

    takes_text = False
    """True if a plain text on the command line is never meant as a number, a boolean or a date."""

    @abstractmethod
    def convert(self, value: object, directory: str) -> Any:
        """The value as it is kept in the settings. Relative paths start in `directory` (absolute).

        Raises `InvalidValueError`, or `ValueError` whose text is the rule.
        """

    @abstractmethod
    def plain(self, value: Any) -> Any:
        """The value as it is written in TOML (text, numbers, lists, dictionaries)."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON schema (2020-12) of what may be written in TOML."""

    @property
    def unit(self) -> str:
        """A few words on how to write the value, for the reference; empty if the description says it all."""
        return ""
