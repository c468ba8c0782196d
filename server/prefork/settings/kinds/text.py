"""Kinds of text: words, names, and tables of text.

Owns: what text may hold at all. Runs in: cli, master. Must not know: which options exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefork.settings.kinds.base import InvalidValueError, Kind, Mistake
from prefork.settings.nearest import did_you_mean

NUL_RULE = "must not hold a NUL character"


def checked_text(value: object) -> str:
    """`value`, if it is a text that system calls and JSON can carry. Raises `ValueError` with the rule."""
    if not isinstance(value, str):
        raise ValueError("must be a string, in quotes")
    if "\0" in value:
        raise ValueError(NUL_RULE)
    # The interpreter keeps bytes of argv that are not UTF-8 as lone surrogates (PEP 383), which JSON refuses.
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("must be UTF-8")
    return value


class Text(Kind, frozen=True):
    """A text that `accepts` approves of, or else breaks `rule`. If `optional`, an empty one means none."""

    rule: str
    accepts: Callable[[str], bool]
    optional: bool = False
    hint: Callable[[str], str] = lambda text: ""
    """What to add to the rule for this very text."""
    takes_text = True

    def convert(self, value: object, directory: str) -> str | None:
        text = checked_text(value)
        if self.optional and not text:
            return None
        if not self.accepts(text):
            raise ValueError(f"{self.rule}{self.hint(text)}")
        return text

    def plain(self, value: Any) -> Any:
        return "" if value is None else value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class OneOf(Kind, frozen=True):
    """One of a few words."""

    words: tuple[str, ...]
    takes_text = True

    def convert(self, value: object, directory: str) -> str:
        if isinstance(value, str) and value in self.words:
            return value
        suggestion = did_you_mean(value, self.words) if isinstance(value, str) else ""
        raise ValueError(f"must be {self.unit}{suggestion}")

    def plain(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}

    @property
    def unit(self) -> str:
        quoted = [f'"{word}"' for word in self.words]
        return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


class Environment(Kind, frozen=True):
    """Environment variables: a table of texts."""

    takes_text = True  # of its values, each of which can be set alone on the command line

    def convert(self, value: object, directory: str) -> dict[str, str]:
        if not isinstance(value, dict):
            raise ValueError('must be a table of strings, such as {LANG = "C.UTF-8"}')
        mistakes = [mistake for name, item in value.items() if (mistake := self._mistake(name, item))]
        if mistakes:
            raise InvalidValueError(mistakes)
        return dict(value)

    @staticmethod
    def _mistake(name: str, item: object) -> Mistake | None:
        where = f".{name}"
        try:
            # environ(7): a name without "="; setenv(3): not empty.
            if not checked_text(name) or "=" in name:
                return Mistake(item, 'a variable\'s name must not be empty or hold "="', where)
            checked_text(item)
        except ValueError as error:
            return Mistake(item, str(error), where)
        return None

    def plain(self, value: Any) -> Any:
        return dict(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "string"}}
