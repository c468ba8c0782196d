"""Kinds of paths: absolute once loaded.

Owns: making them absolute. Runs in: cli, master. Must not know: whether anything is there (see
`settings.files`).
"""

from __future__ import annotations

import os
from typing import Any

from prefork.settings.kinds.base import InvalidValueError, Kind, Mistake
from prefork.settings.kinds.text import checked_text


def absolute(path: str, directory: str) -> str:
    """`path` as seen from `directory`, tidied by its text alone.

    Symbolic links are kept: `current -> release-7` must be followed anew at each reload, not once.
    """
    return os.path.normpath(os.path.join(directory, path))  # noqa: PTH118 - pathlib keeps ".."


class OptionalPath(Kind, frozen=True):
    """A path, or nothing."""

    takes_text = True

    def convert(self, value: object, directory: str) -> str | None:
        text = checked_text(value)
        return absolute(text, directory) if text else None

    def plain(self, value: Any) -> Any:
        return "" if value is None else value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


class PathOr(Kind, frozen=True):
    """A path, or one word, or empty for the default."""

    word: str
    takes_text = True

    def convert(self, value: object, directory: str) -> str:
        text = checked_text(value)
        return text if text in ("", self.word) else absolute(text, directory)

    def plain(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    @property
    def unit(self) -> str:
        return f'a path or "{self.word}"'


class PathList(Kind, frozen=True):
    """A list of paths; one alone needs no list."""

    def convert(self, value: object, directory: str) -> tuple[str, ...]:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            raise ValueError('must be a list of paths, such as ["lib"]')
        paths: list[str] = []
        mistakes: list[Mistake] = []
        for index, item in enumerate(value):
            try:
                paths.append(absolute(checked_text(item) or ".", directory))
            except ValueError as error:
                mistakes.append(Mistake(item, str(error), f"[{index}]"))
        if mistakes:
            raise InvalidValueError(mistakes)
        return tuple(paths)

    def plain(self, value: Any) -> Any:
        return list(value)

    def schema(self) -> dict[str, Any]:
        path = {"type": "string"}
        return {"anyOf": [{"type": "array", "items": path}, path]}


class LogPlace(Kind, frozen=True):
    """Where lines go: one of a few words, or a path.

    A path must look like one: "stdou", "on" or "-" would else become files of that name without a word.
    """

    words: tuple[str, ...]
    takes_text = True

    def convert(self, value: object, directory: str) -> str:
        text = checked_text(value)
        if text in self.words:
            return text
        if "/" not in text and "." not in text:
            raise ValueError(f"must be {self.unit}")
        return absolute(text, directory)

    def plain(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.words)}, {"type": "string", "pattern": "[/.]"}]}

    @property
    def unit(self) -> str:
        quoted = ", ".join(f'"{word}"' for word in self.words)
        return f'{quoted} or a path (with a "/" or a "." in it)'
