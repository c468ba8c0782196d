"""Temporary files that have no name, where the system has a place for them.

Owns: which place. Runs in: worker. Must not know: what is written.

Containers with a read-only root have none of the places that tempfile knows, but they have /dev/shm: memory, bounded by its
mount (64 MiB unless somebody chose), where a plain memfd would be bounded by nothing.
"""

from __future__ import annotations

import errno
import os
import tempfile
from functools import cache
from typing import IO

SHARED_MEMORY = "/dev/shm"


def temporary_file(prefix: str, buffering: int = -1) -> IO[bytes]:
    """A file for reading and writing, unlinked from the start. Raises OSError: no place, no room."""
    return tempfile.TemporaryFile(prefix=prefix, buffering=buffering, dir=_place())


@cache
def _place() -> str:
    """TMPDIR, /tmp and the like, or shared memory. Raises OSError; then it is looked for again the next time."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        if os.access(SHARED_MEMORY, os.W_OK | os.X_OK):
            return SHARED_MEMORY
        hint = f"no directory for temporary files: mount one at /tmp or {SHARED_MEMORY}, or set TMPDIR"
        raise OSError(errno.EROFS, hint) from None
