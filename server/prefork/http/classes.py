"""Classes of characters for the compiled twin, taken from the rules in Python.

Owns: the table of 256 bytes, whose bits `_speedups.c` names. Runs in: worker. Must not know what the bits are used for.
"""

from __future__ import annotations

from prefork.http.target import is_plain_origin
from prefork.http.tokens import is_host, is_token

_HOST_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
"""The characters of ordinary host names; whatever else may stand in one, `is_host` decides."""


def _class_of(char: str) -> int:
    return (
        1 * (char != "?" and bool(is_plain_origin("/" + char)))
        | 2 * bool(is_plain_origin("/?" + char))
        | 4 * (char in _HOST_NAME and bool(is_host(char)))
        | 8 * bool(is_token(char))
    )


CLASSES = bytes(_class_of(chr(number)) for number in range(256))
"""For each character a sum of 1: in a plain path, 2: in a query, 4: in an ordinary host name, 8: in a token."""
