"""Rows of the tables: what becomes of one option of another server.

Owns: the ways in which an option becomes a line or a note. Pure. Runs in: cli. Must not know: which options there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from prefork.migrate.draft import Draft, Given
from prefork.settings.units import format_duration, format_size

Translate = Callable[[Given, Draft], None]
"""Puts lines and notes into the draft. Raises ValueError with what is wrong with the value."""

_OFF = frozenset({"", "0", "false", "no", "off", "none", "n", "f"})


class Row(msgspec.Struct, frozen=True):
    """One option. One that ends in `*` stands for all that begin so."""

    option: str
    to: str
    """Keys of prefork's that it becomes, for the documentation; empty: none."""
    says: str
    """For the documentation, and if there is no equivalent for the person who migrates: why."""
    translate: Translate
    flags: tuple[str, ...] = ()
    """How the command line calls it, if not `--option`."""
    arity: int = 1
    """How many arguments it takes there; -1: one or none."""
    names: tuple[str, ...] = ()
    """Other names for the same."""


class Source(msgspec.Struct, frozen=True):
    """One other server."""

    say: str
    rows: tuple[Row, ...]
    defaults: Mapping[str, object]
    """What it does by itself and prefork does not."""
    finish: Callable[[Draft], None]
    """What depends on several options."""
    find: Callable[[str], str] = lambda name: name
    """How it spells the name of an option."""

    def row(self, name: str) -> Row | None:
        """The row of an option, by any of its names."""
        found = self.find(name)
        exact = next((row for row in self.rows if found == row.option or found in row.names), None)
        families = (
            row for row in self.rows if row.option.endswith("*") and found.startswith(row.option[:-1])
        )
        return exact or next(families, None)


def truth(value: object) -> bool:
    """What a flag says, in Python or as a text."""
    return value.strip().lower() not in _OFF if isinstance(value, str) else bool(value)


def whole(value: object) -> int:
    """A whole number. Raises ValueError."""
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e18
        and value == int(value)
    ):
        return int(value)
    # uWSGI and C read the digits a text begins with.
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}(\.0*)?", value.strip()):
        return int(float(value)) if "." in value else int(value)
    raise ValueError("is not a whole number")


def seconds(value: object) -> float:
    """A number of seconds. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip()):
        return float(value)
    raise ValueError("is not a number of seconds")


def words(value: object) -> list[str]:
    """Texts of a list, or of a text with commas. Raises ValueError."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return [word.strip() for item in value for word in item.split(",") if word.strip()]
    raise ValueError("is neither a text nor a list of texts")


def line(value: object) -> str:
    """A text, or a number as one. Raises ValueError."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError("is not a text")


def _row(option: str, to: str, says: str, translate: Translate, more: Mapping[str, object]) -> Row:
    return Row(option, to, says, translate, **more)  # type: ignore[arg-type]


def number(option: str, to: str, says: str = "", *, least: int = 0, most: int = 10**9, **more: object) -> Row:
    """A number that stays one, within prefork's bounds."""

    def translate(given: Given, draft: Draft) -> None:
        value = whole(given.value)
        kept = min(max(value, least), most)
        draft.put(to, kept, given, above=says)
        if kept != value:
            draft.different(given, f"{to} is from {least} to {most}: {kept} was written")

    return _row(option, to, says, translate, more)


def duration(
    option: str, to: str, says: str = "", *, least: float = 0.0, most: float = 86400.0, **more: object
) -> Row:
    """Seconds."""

    def translate(given: Given, draft: Draft) -> None:
        value = seconds(given.value)
        kept = min(max(value, least), most)
        draft.put(to, format_duration(kept), given, above=says)
        if says and not given.default:
            draft.different(given, says)
        if kept != value:
            draft.different(given, f"{to} is from {format_duration(least)} to {format_duration(most)}")

    return _row(option, to, says, translate, more)


def size(
    option: str,
    to: str,
    says: str = "",
    *,
    unit: int = 1,
    least: int = 0,
    most: int = 16 << 40,
    **more: object,
) -> Row:
    """Bytes, or `unit`s of them."""

    def translate(given: Given, draft: Draft) -> None:
        value = whole(given.value) * unit
        kept = min(max(value, least), most)
        draft.put(to, format_size(kept), given, above=says)
        if says and not given.default:
            draft.different(given, says)
        if kept != value:
            draft.different(
                given,
                f"{to} is from {format_size(least)} to {format_size(most)}: {format_size(kept)} was written",
            )

    return _row(option, to, says, translate, more)


def text(option: str, to: str, says: str = "", **more: object) -> Row:
    """A text that stays as it is; nothing if it is empty."""

    def translate(given: Given, draft: Draft) -> None:
        if given.value is not None and line(given.value):
            draft.put(to, line(given.value), given, above=says)

    return _row(option, to, says, translate, more)


def path(option: str, to: str, says: str = "", **more: object) -> Row:
    """A path, as seen from the settings file."""

    def translate(given: Given, draft: Draft) -> None:
        if given.value is not None and line(given.value):
            draft.put(to, draft.path(line(given.value)), given, above=says)

    return _row(option, to, says, translate, more)


def missing(option: str, why: str, **more: object) -> Row:
    """No equivalent. Whoever has switched it off need not hear of it."""

    def translate(given: Given, draft: Draft) -> None:
        if given.value is not None and given.value != [] and given.value != {} and truth(given.value):
            draft.missing(given, why)

    return _row(option, "", why, translate, more)


def needless(option: str, why: str, **more: object) -> Row:
    """It is always so here, or there is nothing to be set."""

    def translate(given: Given, draft: Draft) -> None:
        if truth(given.value):
            draft.note("needless", given, why)

    return _row(option, "", why, translate, more)


def made(option: str, to: str, says: str, translate: Translate, **more: object) -> Row:
    """Anything else."""
    return _row(option, to, says, translate, more)


def elsewhere(option: str, to: str, says: str = "", **more: object) -> Row:
    """Looked at where another option is translated, or at the end."""
    return _row(option, to, says, lambda given, draft: None, more)


def many(options: Iterable[str], why: str, make: Callable[..., Row] = missing) -> tuple[Row, ...]:
    """Several options with the same reason."""
    return tuple(make(option, why) for option in options)


def table_of(*parts: Row | Sequence[Row]) -> tuple[Row, ...]:
    """Rows and groups of rows, one after the other."""
    return tuple(row for part in parts for row in ((part,) if isinstance(part, Row) else part))
