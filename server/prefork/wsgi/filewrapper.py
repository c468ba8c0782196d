"""`wsgi.file_wrapper`: how an application hands over an open file (PEP 3333, "Optional Platform-Specific File Handling").

Owns: the wrapper class and the decision whether the kernel can send the file by itself. Runs in the worker, in the thread
that has the request. Must not know: sockets (the connection sends the span).
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from typing import IO, Any, NamedTuple


class FileSpan(NamedTuple):
    """`length` bytes from `offset` of the open file `fd`, for sendfile(2)."""

    fd: int
    offset: int
    length: int


class FileWrapper:
    """What `environ["wsgi.file_wrapper"](filelike, block_size)` gives. Iterates like any other body when it must."""

    def __init__(self, filelike: IO[bytes], block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data = self.filelike.read(self.block_size)
        if data:
            return data
        raise StopIteration

    def span(self) -> FileSpan | None:
        """The rest of the file from its current position, or None when it is not a plain file on disk with something left."""
        fd = _descriptor(self.filelike)
        if fd is None:
            return None
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                return None
            offset = self.filelike.tell()
        except (OSError, ValueError, AttributeError):
            return None
        # Files in /proc have content but no size: only reading tells (proc(5)).
        return FileSpan(fd, offset, info.st_size - offset) if info.st_size > offset else None


def _descriptor(filelike: Any) -> int | None:
    # A text file or a decompressing reader has a descriptor too, but its bytes are not those of the file.
    if not isinstance(getattr(filelike, "raw", filelike), io.FileIO) or hasattr(filelike, "encoding"):
        return None
    try:
        fd = filelike.fileno()
    except (OSError, ValueError, AttributeError):
        return None
    return fd if isinstance(fd, int) else None
