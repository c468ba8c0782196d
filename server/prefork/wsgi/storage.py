"""Where the content of a large request body lies until the application reads it: shared memory of the worker, or a file.

Owns: both kinds, filled by whoever receives (`room`, `filled`: straight from the socket; `write`: what has been decoded), then
read as a file. Runs in the worker: written by the loop thread, then read by the thread that has the request. Must not know: HTTP
framing, who decides which kind.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Protocol, cast

from prefork.wsgi.chunks import CHUNK_BYTES, ChunkPool
from prefork.wsgi.spool import temporary_file

READ_BYTES = 16 * 1024
"""Read ahead for `readline`; longer reads go past it."""

TURN_CHUNKS = 4
"""Received in one turn: 256 KiB, less than a tenth of a millisecond."""


class Storage(Protocol):
    """One body."""

    def room(self, missing: int) -> list[memoryview]:
        """Where the next of `missing` bytes go; empty: nowhere, another storage has to take over."""

    def filled(self, count: int) -> None:
        """So many bytes are there now. Raises OSError: the disk is full."""

    def write(self, data: memoryview) -> int:
        """Appends what there is room for. Raises OSError: the disk is full."""

    def as_input(self) -> IO[bytes]:
        """From the start."""

    def close(self) -> None:
        """Gives it back."""


class InMemory:
    """Pieces of the pool."""

    __slots__ = ("_chunks", "_guaranteed", "_pool", "_reader", "_size")

    def __init__(self, pool: ChunkPool, guaranteed: int) -> None:
        """So many bytes are kept however much is in use elsewhere."""
        self._pool = pool
        self._guaranteed = guaranteed
        self._chunks: list[memoryview] = []
        self._size = 0
        self._reader: _Reader | None = None

    def room(self, missing: int) -> list[memoryview]:
        """Of several pieces, the last of which may be used in part."""
        size, chunks = self._size, self._chunks
        first = size // CHUNK_BYTES
        wanted = min(-(-(size + missing) // CHUNK_BYTES), first + TURN_CHUNKS)
        while len(chunks) < wanted:
            chunk = self._pool.take(len(chunks) * CHUNK_BYTES < self._guaranteed)
            if chunk is None:
                break
            chunks.append(chunk)
        views = chunks[first:wanted]
        if not views:
            return []
        begun = size % CHUNK_BYTES
        if begun:
            views[0] = views[0][begun:]
        too_much = len(views) * CHUNK_BYTES - begun - missing
        if too_much > 0:
            views[-1] = views[-1][: len(views[-1]) - too_much]
        return views

    def filled(self, count: int) -> None:
        """They are there. What `room` gave beyond them goes back: one client's next bytes may be long in coming."""
        self._size += count
        used = -(-self._size // CHUNK_BYTES)
        if used < len(self._chunks):
            unused = self._chunks[used:]
            del self._chunks[used:]
            self._pool.give_back(unused)

    def write(self, data: memoryview) -> int:
        """By copying."""
        done = 0
        while done < len(data) and (views := self.room(len(data) - done)):
            for view in views:
                count = len(view)
                view[:] = data[done : done + count]
                done += count
                self._size += count
        return done

    def pieces(self) -> list[memoryview]:
        """What is here."""
        whole, rest = divmod(self._size, CHUNK_BYTES)
        return self._chunks[:whole] + ([self._chunks[whole][:rest]] if rest else [])

    def as_input(self) -> IO[bytes]:
        """Reading copies."""
        self._reader = _Reader(self._chunks, self._size)
        return io.BufferedReader(self._reader, READ_BYTES)

    def close(self) -> None:
        """From here on the memory is other requests'."""
        if self._reader is not None:
            self._reader.end()
        chunks, self._chunks = self._chunks, []
        self._size = 0
        if chunks:
            self._pool.give_back(chunks)

    __del__ = close


class Positioned(io.RawIOBase):
    """A raw stream of a known size that can seek. What is read at the position is for subclasses."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek value {start + offset}")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at


class _Reader(Positioned):
    """Reads from pieces, until the request is over: an application that reads even later must not see the next one's body."""

    def __init__(self, chunks: list[memoryview], size: int) -> None:
        super().__init__(size)
        self._chunks = chunks
        self._ended = False

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunks, at = self._chunks, self._at
        most = max(0, min(len(buffer), self._size - at))
        done = 0
        while done < most:
            number, begun = divmod(at + done, CHUNK_BYTES)
            count = min(most - done, CHUNK_BYTES - begun)
            buffer[done : done + count] = chunks[number][begun : begun + count]
            done += count
        self._check()
        self._at = at + done
        return done

    def readall(self) -> bytes:
        at, end = self._at, self._size
        pieces = []
        while at < end:
            number, begun = divmod(at, CHUNK_BYTES)
            count = min(end - at, CHUNK_BYTES - begun)
            pieces.append(self._chunks[number][begun : begun + count])
            at += count
        whole = b"".join(pieces)
        self._check()
        self._at = max(at, self._at)
        return whole

    def _check(self) -> None:
        # Behind the copying: the end may have come in between, from another thread.
        if self._ended:
            raise ValueError("wsgi.input was read after its request had ended")

    def end(self) -> None:
        self._ended = True
        self._size = 0


class InFile:
    """A temporary file, unlinked from the start (see `spool`), so that no crash leaves it behind."""

    __slots__ = ("_file", "_reader", "_scratch")

    def __init__(self, scratch: Callable[[], memoryview]) -> None:
        """`scratch` gives memory for use within one turn. Raises OSError."""
        self._scratch = scratch
        self._file: IO[bytes] = temporary_file("prefork-body-", buffering=0)
        self._reader: IO[bytes] | None = None

    def room(self, missing: int) -> list[memoryview]:
        """Memory that `filled` writes out."""
        return [self._scratch()[:missing]]

    def filled(self, count: int) -> None:
        """To the file with it."""
        self.write(self._scratch()[:count])

    def write(self, data: memoryview) -> int:
        """All of it."""
        done = 0
        while done < len(data):
            done += self._file.write(data[done:])
        return done

    def as_input(self) -> IO[bytes]:
        """Of the one descriptor."""
        if self._reader is None:
            self._reader = io.BufferedReader(cast(io.FileIO, self._file), READ_BYTES)
        self._reader.seek(0)
        return self._reader

    def close(self) -> None:
        """The disk space is given back with the descriptor."""
        try:
            self._file.close()
        except OSError:
            return  # of writing, which nobody wants any more; the descriptor is closed all the same (close(2))

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # there was a place for it
            self.close()
