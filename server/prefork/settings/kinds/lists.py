"""The kind of a list of texts.

Owns: that one alone needs no list, and that every wrong member is named. Runs in: cli, master. Must not know: what the
texts mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefork.settings.kinds.base import InvalidValueError, Kind, Mistake
from prefork.settings.kinds.text import checked_text


class TextList(Kind, frozen=True):
    """Texts, each as `tidied` gives it back; that raises ValueError with the rule for one that is wrong."""

    tidied: Callable[[str], str]
    example: str

    def convert(self, value: object, directory: str) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            raise ValueError(f"must be a list of strings, such as {self.example}")
        texts: list[str] = []
        mistakes: list[Mistake] = []
        for index, item in enumerate(items):
            where = f"[{index}]" if isinstance(value, list) else ""
            try:
                text = self.tidied(checked_text(item))
            except ValueError as error:
                mistakes.append(Mistake(item, str(error), where))
                continue
            if text in texts:
                mistakes.append(Mistake(item, "is in the list twice", where))
            texts.append(text)
        if mistakes:
            raise InvalidValueError(mistakes)
        return tuple(texts)

    def plain(self, value: Any) -> Any:
        return list(value)

    def schema(self) -> dict[str, Any]:
        text = {"type": "string"}
        return {"anyOf": [{"type": "array", "items": text}, text]}
