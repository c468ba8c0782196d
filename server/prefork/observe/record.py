"""One event that is told: what every form of the log is made from.

Owns: the record, the levels, the text of a value. Pure. Runs in: every process. Must not know: forms, descriptors, clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]

RANK: Mapping[str, int] = {"debug": 0, "info": 1, "warning": 2, "error": 3}

TRACEBACK = "traceback"
"""The event of a traceback that belongs to no other, and of its lines."""


class Record(msgspec.Struct, frozen=True):
    """One event."""

    now_ns: int
    """Unix time."""
    level: Level
    event: str
    """Empty: these are words of the application's (`wsgi.errors`), and `traceback` has them."""
    fields: Mapping[str, object]
    """Those of the event. Those that are None are left out by every form."""
    traceback: str = ""
    """A text of several lines that belongs to it."""
    exception: BaseException | None = None
    """What the traceback is of, if that happened in this process."""
    context: Mapping[str, object] = {}
    """Fields that say who speaks; those of the event come before them."""

    @property
    def everything(self) -> dict[str, object]:
        """All fields that there are."""
        return {key: value for key, value in {**self.context, **self.fields}.items() if value is not None}


def text_of(value: object) -> str:
    """A value as text; never raises."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - the value may be the application's
        return f"<{type(value).__name__}: its str() raised {type(error).__name__}>"
