r"""The line format of the log: `key=value` pairs, one line whatever the values hold.

Owns: escaping. Pure. Must not know: descriptors, clocks, levels.

A value is bare unless it is empty or holds a space, `"`, `=`, `\` or anything that is not printable; then
it is quoted, with `\"`, `\\`, `\n`, `\r`, `\t` and `\xNN`, `\uNNNN`, `\UNNNNNNNN` inside. "Not printable"
is `str.isprintable`: control characters and line separators, but also bidirectional overrides (which can
make a terminal show another line than the one written) and the surrogates Python uses for undecodable
bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NEEDS_QUOTES = re.compile(r'[ "=\\]')
_BAD_KEY = re.compile(r"[^A-Za-z0-9_.:/-]")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def format_value(text: str) -> str:
    """`text` as a value."""
    if text and text.isprintable() and not _NEEDS_QUOTES.search(text):
        return text
    return '"' + "".join(map(_escape, text)) + '"'


def format_pairs(fields: Mapping[str, str]) -> str:
    """The pairs of one line, without the line's end. Characters that would break a key become `_`."""
    return " ".join(f"{_BAD_KEY.sub('_', key) or '_'}={format_value(value)}" for key, value in fields.items())


def _escape(char: str) -> str:
    short = _SHORT.get(char)
    if short is not None:
        return short
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
