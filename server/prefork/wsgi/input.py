"""Where a request body waits until it is complete, and `wsgi.input` after that: in memory, past a bound in a temporary file.
And the other way, `wsgi.input` of a body that is read from the client as it arrives.

Owns: the sink that the HTTP receiver writes to, and the stream that asks for more. The file is unlinked from
the start (see `spool`), so that no crash leaves it behind. Runs in the worker: written by the loop thread, then read
by the thread that has the request. Must not know: HTTP framing.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from http import HTTPStatus
from typing import IO

from prefork.wsgi.spool import temporary_file


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
            self._file = temporary_file("prefork-body-")
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


class BodyError(OSError):
    """The rest of the body will not come: reading `wsgi.input` raises this, never a body that ends early as if it were whole.

    An application may let it pass; the client then gets `status`.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status

    @property
    def status_line(self) -> str:
        """`status` with its words."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


class StreamedBody:
    """A body that is read while the application runs."""

    def __init__(self, begun: bytes, receive: Callable[[], bytes], unread: Callable[[], bool]) -> None:
        """`begun` came with the head; `receive` waits for more, gives b"" at the end and raises BodyError."""
        self._stream = _Stream(begun, receive)
        self.unread = unread
        """Whether some of it is still to come from the client."""

    def as_input(self) -> IO[bytes]:
        """The body: read, readline, readlines, readinto and iteration."""
        return io.BufferedReader(self._stream, STREAM_BUFFER_BYTES)

    def write(self, data: bytes) -> None:
        """A sink for nobody: what arrives is asked for."""
        raise io.UnsupportedOperation("a streamed body is not collected")

    def close(self) -> None:
        """The request is over: whoever still reads gets an error, not the next request."""
        self._stream.end()


STREAM_BUFFER_BYTES = 64 * 1024


class _Stream(io.RawIOBase):
    def __init__(self, begun: bytes, receive: Callable[[], bytes]) -> None:
        self._data = memoryview(begun)
        self._receive: Callable[[], bytes] | None = receive
        self._error: BodyError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._data:
            self._data = memoryview(self._more())
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count

    def readall(self) -> bytes:
        pieces = [bytes(self._data)]
        self._data = memoryview(b"")
        while piece := self._more():
            pieces.append(piece)
        return b"".join(pieces)

    def _more(self) -> bytes:
        if self._error is not None:
            raise self._error
        if self._receive is None:
            raise ValueError("wsgi.input was read after its request had ended")
        try:
            return self._receive()
        except BodyError as error:
            self._error = error
            raise

    def end(self) -> None:
        self._receive = None
        self._data = memoryview(b"")
