"""Bytes of a terminal as keys.

Owns: the sequences of arrows and the like, ECMA-48 section 5.4 and what xterm and the Linux console send. Pure. Runs in: cli.
Must not know: terminals, what keys do.
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.)", re.DOTALL)
"""A control sequence (CSI), or one of the keypad's (SS3)."""

_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?")

_NAMED = {
    **dict.fromkeys((b"\x1b[A", b"\x1bOA"), "up"),
    **dict.fromkeys((b"\x1b[B", b"\x1bOB"), "down"),
    **dict.fromkeys((b"\x1b[C", b"\x1bOC"), "right"),
    **dict.fromkeys((b"\x1b[D", b"\x1bOD"), "left"),
    **dict.fromkeys((b"\x1b[H", b"\x1bOH", b"\x1b[1~", b"\x1b[7~"), "home"),
    **dict.fromkeys((b"\x1b[F", b"\x1bOF", b"\x1b[4~", b"\x1b[8~"), "end"),
    b"\x1b[5~": "page-up",
    b"\x1b[6~": "page-down",
    b"\x1bOM": "enter",
}

_SINGLE = {b"\r": "enter", b"\n": "enter", b"\x0c": "ctrl-l", b"\x1b": "escape"}

ESCAPE_S = 0.1
"""An escape after which nothing has come for so long is the key; over ssh a sequence may come in pieces."""


class Keys:
    """Takes bytes as they come."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = b""

    @property
    def unfinished(self) -> bool:
        """What came last may be the beginning of a sequence; if nothing follows, call `settle`."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[str]:
        """The keys that `data` completes: a name, or the character itself. Unknown sequences are nothing."""
        data, self._pending = self._pending + data, b""
        keys: list[str] = []
        while data:
            sequence = _SEQUENCE.match(data)
            if sequence:
                key = _NAMED.get(sequence[0])
                keys += [key] if key else []
                data = data[sequence.end() :]
            elif _UNFINISHED.fullmatch(data):
                self._pending = data
                return keys
            else:
                one = data[:1]
                keys.append(_SINGLE.get(one) or one.decode("latin-1"))
                data = data[1:]
        return keys

    def settle(self) -> list[str]:
        """Nothing followed: the escape key, and whatever else was pressed."""
        data, self._pending = self._pending, b""
        return [_SINGLE.get(data[i : i + 1]) or data[i : i + 1].decode("latin-1") for i in range(len(data))]
