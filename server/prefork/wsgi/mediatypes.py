"""Content-Type by the name of a file.

Owns: the standard library's table, without the files of the machine (the answer must not depend on where a server runs), and
what that table lacks in some Python versions. Runs in: worker. Must not know: files.
"""

from __future__ import annotations

import mimetypes
from functools import lru_cache

_MORE = {
    ".avif": "image/avif",
    ".cjs": "text/javascript",
    ".js": "text/javascript",  # RFC 9239; Python before 3.12 has application/javascript
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}

_PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
"""A file that somebody asks for by its packed name is to be saved, not unpacked on the way."""

UNKNOWN = "application/octet-stream"


@lru_cache(maxsize=1)
def _table() -> mimetypes.MimeTypes:
    """Made for the first file: half of the servers send none, and it takes 4 ms of a start."""
    table = mimetypes.MimeTypes()
    for suffix, kind in _MORE.items():
        table.add_type(kind, suffix)
    return table


@lru_cache(maxsize=256)
def _of_suffixes(suffixes: str) -> str:
    kind, packed = _table().guess_type(f"x{suffixes}")
    if packed is not None:
        return _PACKED.get(packed, UNKNOWN)
    if kind is None:
        return UNKNOWN
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def content_type_of(name: str) -> str:
    """The Content-Type of a file called `name`, text with its charset."""
    pieces = name.rsplit("/", 1)[-1].rsplit(".", 2)[1:]
    return _of_suffixes("".join(f".{piece}" for piece in pieces))
