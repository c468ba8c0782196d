"""The header fields of a request, for handlers that are written as for `http.server`.

Owns: from a field's name to its key in environ. Pure. Runs in the worker. Must not know: where environ came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = {"CONTENT_TYPE": "Content-Type", "CONTENT_LENGTH": "Content-Length"}


class RequestFields(Mapping[str, str]):
    """Names in any case, values as in environ: repeated fields are joined already (RFC 9110 section 5.3)."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        value = self._environ.get(key if key in _PLAIN else f"HTTP_{key}")
        if value is None or "_" in name:
            raise KeyError(name)
        return str(value)

    def __iter__(self) -> Iterator[str]:
        for key, value in self._environ.items():
            if key.startswith("HTTP_"):
                yield key[5:].replace("_", "-").title()
            elif key in _PLAIN and value:
                yield _PLAIN[key]

    def __len__(self) -> int:
        return sum(1 for _ in self)
