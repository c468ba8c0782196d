"""`wsgi.input` of a body whose end has arrived, but has not been fetched: the application's own reading fetches it.

Owns: the order (what was collected, then the rest), and reading by lines. What is read in large pieces is given as it was
received, without a copy. Runs in the worker, the thread that has the request. Must not know: where the rest is (`Rest`).
"""

from __future__ import annotations

import io
from typing import IO, Protocol

from prefork.wsgi.storage import Positioned

SMALL_BYTES = 16 * 1024
"""Shorter reads come from a buffer of this size: to fetch a few bytes costs more than to copy them."""


class Rest(Protocol):
    """The end of a body, all of which is here."""

    left: int
    """Its length."""

    def fetch(self, at: int, size: int, /) -> bytes:
        """Bytes from `at` on, at least one and at most `size`, which may not go beyond the end. Never waits. Raises
        BodyError, and ValueError when the request is over."""

    def end(self) -> None:
        """The request is over: from now on `fetch` raises. Any thread."""


class _Raw(Positioned):
    """Both as one file."""

    def __init__(self, before: IO[bytes] | None, rest: Rest, size: int) -> None:
        super().__init__(size)
        self._before = before
        self._rest = rest
        self._begin = size - rest.left  # of the rest

    def fetch(self, size: int) -> bytes:
        """Some bytes, at most `size`; b"" at the end."""
        at, begin = self._at, self._begin
        if at >= begin:
            size = min(size, self._size - at)
            data = self._rest.fetch(at - begin, size) if size > 0 else b""
        else:
            assert self._before is not None
            self._before.seek(at)
            data = self._before.read(min(size, begin - at))
        self._at = at + len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.fetch(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class RestInput(io.BufferedIOBase):
    """The whole body, from its start."""

    def __init__(self, before: IO[bytes] | None, rest: Rest, size: int) -> None:
        """`before` holds what comes before the rest (None: nothing), `size` is the length of both."""
        self._size = size
        self._raw = _Raw(before, rest, size)
        self._fetch = self._raw.fetch
        self._buffer: io.BufferedReader | None = None  # once somebody has read a line, or little

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """See `io.IOBase.seek`."""
        return (self._buffer or self._raw).seek(offset, whence)

    def tell(self) -> int:
        """Where the next read begins."""
        return (self._buffer or self._raw).tell()

    def read(self, size: int | None = -1, /) -> bytes:
        """`size` bytes, fewer at the end; all for None and -1."""
        if self._buffer is not None:
            return self._buffer.read(size)
        if size is None or size < 0:
            size = self._size
        elif size < SMALL_BYTES:
            return self._buffered().read(size)
        data = self._fetch(size)
        if len(data) == size or not data:
            return data
        pieces = [data]
        missing = size - len(data)
        while missing and (data := self._fetch(missing)):
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes."""
        return self._buffered().read1(size)

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fills the buffer, unless the body ends."""
        return self._buffered().readinto(buffer)

    def readinto1(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Some bytes."""
        return self._buffered().readinto1(buffer)

    def readline(self, size: int | None = -1, /) -> bytes:
        """To the end of the line, or `size` bytes of it."""
        return self._buffered().readline(size)

    def peek(self, size: int = 0, /) -> bytes:
        """What comes next, without taking it."""
        return self._buffered().peek(size)

    def _buffered(self) -> io.BufferedReader:
        if self._buffer is None:
            self._buffer = io.BufferedReader(self._raw, SMALL_BYTES)
        return self._buffer
