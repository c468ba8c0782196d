"""Values as TOML text.

Owns: how a value is written in TOML, for `prefork config`, for config/reference.toml and for error messages.
Runs in: cli, master. Must not know: settings. (Python reads TOML, PEP 680, but does not write it.)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SHOWN = 200


def key(name: str) -> str:
    """A key, quoted where TOML wants it quoted."""
    return name if _BARE_KEY.fullmatch(name) else text(name)


def text(value: str) -> str:
    """A basic string. JSON's escapes are a subset of TOML's, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(item: object) -> str:
    """Any value `tomllib` can return, on one line."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return text(item)
    if isinstance(item, float) and not math.isfinite(item):
        return str(item)  # TOML spells them as Python does: inf, -inf, nan
    if isinstance(item, Mapping):
        pairs = ", ".join(f"{key(str(name))} = {value(inner)}" for name, inner in item.items())
        return f"{{{pairs}}}"
    if isinstance(item, list | tuple):
        return f"[{', '.join(value(inner) for inner in item)}]"
    return str(item)  # int, float, and the dates and times of RFC 3339


def shown(item: object) -> str:
    """A value as it appears in a message: on one line, and short."""
    try:
        written = value(item)
    except (ValueError, RecursionError):  # an int of more digits than Python prints; arrays within arrays
        return "..."
    return written if len(written) <= _LONGEST_SHOWN else f"{written[: _LONGEST_SHOWN - 4]} ..."


def one_line(text: str) -> str:
    """`text` without what ends a line or speaks to a terminal: names and paths may hold anything."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )
