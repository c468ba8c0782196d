"""The application that every server of the comparison runs: 13 bytes, with Content-Type and Content-Length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "13")]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Hello."""
    start_response("200 OK", HEADERS)
    return [b"Hello, World!"]
