"""Where a request body waits until it is complete, and `wsgi.input` after that: in memory, past a bound in a temporary file.

Owns: the sink that the HTTP receiver writes to. The file lies in TMPDIR and is unlinked from the start
(tempfile.TemporaryFile), so that no crash leaves it behind. Runs in the worker: written by the loop thread, then read by the
thread that has the request. Must not know: HTTP framing.
"""

from __future__ import annotations

import io
import tempfile
from typing import IO


class SpooledBody:
    """A body under way. `write` until complete, then `as_input`."""

    __slots__ = ("_file", "_memory_bytes", "_size")

    def __init__(self, memory_bytes: int) -> None:
        self._file: IO[bytes] = io.BytesIO()
        self._memory_bytes = memory_bytes
        self._size = 0

    def write(self, data: bytes) -> None:
        """Appends. Raises OSError when the disk is full."""
        self._size += len(data)
        if self._size > self._memory_bytes and isinstance(self._file, io.BytesIO):
            beginning = self._file.getvalue()
            self._file = tempfile.TemporaryFile(prefix="prefork-body-")  # noqa: SIM115 - closed by `close`
            self._file.write(beginning)
        self._file.write(data)

    def as_input(self) -> IO[bytes]:
        """The complete body from its start: read, readline, readlines, readinto and iteration.

        Raises OSError when the last of it cannot be written (the disk is full).
        """
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Gives memory or disk space back."""
        try:
            self._file.close()
        except OSError:
            # It flushes first, and on a full disk raises that error once more: nobody wants these bytes now. The descriptor
            # is closed all the same.
            return
