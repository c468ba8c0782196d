"""What is known of one answered request, and of the process that answered it.

Owns: those values. Runs in: worker. Must not know: formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

REQUEST_ID, CONNECTION = "prefork.request_id", "prefork.connection"
"""Keys of environ."""


class AccessEntry(msgspec.Struct, gc=False):
    """One answered request, raw. `environ` is the WSGI one; the application may have changed it."""

    environ: Mapping[str, Any]
    status: int
    body_bytes: int
    duration_ns: int
    now_ns: int
    """Unix time at the end of the response."""
    queued_ns: int = 0
    """How long it waited for its turn."""
    bytes_in: int = 0


class Origin(msgspec.Struct, frozen=True):
    """The process that writes the lines."""

    worker: int = 0
    generation: int = 0
    pid: int = 0


NOBODY = Origin()

Format = Callable[[AccessEntry], bytes]
"""One entry as one line with its newline."""
