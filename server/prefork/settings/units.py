"""Durations, sizes and file modes: from what a person writes to numbers, and back.

Owns: the spelling of units. Runs in: cli, master. Must not know: which settings exist.

A duration is a float of seconds, a size an int of bytes, a mode an int of permission bits, and for each of
them `parse(format(value)) == value`. Every parser raises `ValueError` whose text is the rule: "must be ...".
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

DURATION_RULE = 'must be a number of seconds or a string such as "250ms", "30s", "5m", "12h" or "1d"'
SIZE_RULE = 'must be a whole number of bytes or a string such as "64KiB", "10MB" or "1GiB"'
MODE_RULE = 'must be a string of octal digits such as "0660"'

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_MILLISECONDS = {"ms": 1, **{unit: seconds * 1000 for unit, seconds in _SECONDS.items()}}

# IEC 80000-13 names for powers of 1024, SI names for powers of 1000; "KB" is what many people write for "kB".
_BYTES = {
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "KB": 10**3,
    "B": 1,
}

# Bounded, so that no text can become a number too big for a float or too long for int() (CVE-2020-10735).
_QUANTITY = r"([0-9]{1,15}(?:\.[0-9]{1,30})?) ?"
DURATION_PATTERN = f"{_QUANTITY}({'|'.join(_MILLISECONDS)})"
SIZE_PATTERN = f"{_QUANTITY}({'|'.join(_BYTES)})"
MODE_PATTERN = "(?:0o)?0*[0-7]{1,4}"


def parse_duration(value: object) -> float:
    """Seconds, from a number of seconds or a text with a unit. Never negative, infinite or not a number."""
    if isinstance(value, str) and (found := re.fullmatch(DURATION_PATTERN, value)):
        digits, shift = _exactly(found[1])
        # Rounded once, at the end (integers are divided exactly): "0.1ms" is the float nearest to 0.0001.
        return digits * _MILLISECONDS[found[2]] / (1000 * shift)
    if isinstance(value, int | float) and not isinstance(value, bool):
        # TOML has inf and nan (TOML 1.0, "Float"), and integers beyond any float.
        seconds = float(value) if abs(value) < 1e15 else math.inf
        if 0 <= seconds < math.inf:
            return seconds
    raise ValueError(DURATION_RULE)


def format_duration(seconds: float) -> str:
    """What a person would write for `seconds`: the largest unit that divides it, decimals only if needed."""
    for unit, length in _SECONDS.items():
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    milliseconds = round(seconds * 1000)
    if 0 < milliseconds < 1000 and milliseconds / 1000 == seconds:
        return f"{milliseconds}ms"
    return f"{Decimal(repr(seconds)):f}s" if seconds else "0s"


def parse_size(value: object) -> int:
    """Bytes, from a number of bytes or a text with a unit ("1.5MiB" is fine, half a byte is not)."""
    if isinstance(value, str) and (found := re.fullmatch(SIZE_PATTERN, value)):
        digits, shift = _exactly(found[1])
        size, part = divmod(digits * _BYTES[found[2]], shift)
        if part == 0:
            return size
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError(SIZE_RULE)


def _exactly(number: str) -> tuple[int, int]:
    """A decimal number as an integer, and what to divide it by. (`fractions` would cost a start a millisecond.)"""
    whole, _, decimals = number.partition(".")
    return int(whole + decimals), 10 ** len(decimals)


def format_size(size: int) -> str:
    """The largest unit that divides `size`, units of 1024 before units of 1000."""
    for unit, length in _BYTES.items():
        if size >= length and size % length == 0:
            return f"{size // length}{unit}"
    return "0B"


def parse_mode(value: object) -> int:
    """Permission bits, from a text of octal digits.

    Numbers are refused: `mode = 660` and `mode = 0o660` in TOML are two different ones, and only the second
    can be meant.
    """
    if isinstance(value, str) and re.fullmatch(MODE_PATTERN, value):
        return int(value.removeprefix("0o"), 8)
    raise ValueError(MODE_RULE)


def format_mode(mode: int) -> str:
    """Four octal digits."""
    return f"{mode:04o}"
