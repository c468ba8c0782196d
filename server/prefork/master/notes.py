"""What a change of state says to the log.

Owns: the shape of a note. Runs in: master. Must not know: the log.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Note(msgspec.Struct, frozen=True):
    """One line of the log, and a traceback that belongs to it."""

    level: Literal["debug", "info", "warning", "error"]
    event: str
    fields: dict[str, object] = msgspec.field(default_factory=dict)
    traceback: str = ""
