"""Where a request body waits until it is complete, and `wsgi.input` after that: in memory of its own, past a bound in memory that
all share, past that in a temporary file. And the other way, `wsgi.input` of a body that is read from the client as it arrives.

Owns: the sink that the HTTP receiver writes to, and the stream that asks for more. Runs in the worker: written by the loop
thread, then read by the thread that has the request. Must not know: HTTP framing.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from http import HTTPStatus
from typing import IO, cast

from prefork.wsgi.chunks import ChunkPool, Promise
from prefork.wsgi.rest import Rest, RestInput
from prefork.wsgi.storage import InFile, InMemory, Storage

_BytesIO = io.BytesIO  # for every body: one look-up instead of two


class SpooledBody:
    """A body under way. `write`, or `room` and `filled`, until it is complete, then `as_input`.

    What it holds gives itself back if it is dropped without `close`: the body of a request that was never begun."""

    __slots__ = ("_memory_bytes", "_pool", "_promise", "_rest", "_small", "_storage", "size")

    def __init__(self, memory_bytes: int, pool: ChunkPool | None = None) -> None:
        """`memory_bytes` are kept in memory in any case, more if `pool` has it. Without a pool: in a file."""
        self._memory_bytes = memory_bytes
        self._pool = pool
        self._small: io.BytesIO | None = None
        self._storage: Storage | None = None
        self._promise: Promise | None = None
        self._rest: Rest | None = None
        self.size = 0
        """So far. Read only."""

    def write(self, data: bytes) -> None:
        """Appends. Raises OSError when the disk is full."""
        size = self.size = self.size + len(data)
        if self._storage is None and size <= self._memory_bytes:
            small = self._small
            if small is None:
                self._small = _BytesIO(data)  # which shares them
            else:
                small.seek(0, io.SEEK_END)
                small.write(data)
            return
        storage = self._storage or self._grow()
        view = memoryview(data)
        done = storage.write(view)
        if done < len(view):
            self._to_file().write(view[done:])

    def room(self, missing: int) -> list[memoryview] | None:
        """Where to receive to, when `missing` more bytes are to come; None: let `write` have them. Raises OSError."""
        storage = self._storage
        if storage is None:
            if self.size + missing <= self._memory_bytes:
                return None
            storage = self._grow()
        return storage.room(missing) or self._to_file().room(missing)

    def filled(self, count: int) -> None:
        """So many bytes have been received there. Raises OSError when the disk is full."""
        assert self._storage is not None
        self.size += count
        self._storage.filled(count)

    def promise(self, missing: int) -> bool:
        """The last `missing` bytes may stay where they are for now. False: `room` and `write` want them."""
        if self._pool is None or self.size + missing <= self._memory_bytes:
            return False
        self._promise = self._pool.promise(missing)
        return self._promise is not None

    def withdraw(self) -> None:
        """They may not any more."""
        if self._promise is not None:
            self._promise.end()

    def end_with(self, rest: Rest) -> None:
        """All is here: what was collected, and the rest, which has not been fetched."""
        self.size += rest.left
        self._rest = rest

    def _grow(self) -> Storage:
        """What is here so far moves to where there is room for more."""
        small, self._small = self._small, None
        if self._pool is None:
            self._storage = InFile(ChunkPool(lambda: 0).scratch)
        else:
            self._storage = InMemory(self._pool, self._memory_bytes)
        if small is not None:
            view = small.getbuffer()
            done = self._storage.write(view)
            if done < len(view):
                self._to_file().write(view[done:])
        return self._storage

    def _to_file(self) -> Storage:
        """No memory is left: what is there, and what follows, goes to a file."""
        before = self._storage
        assert self._pool is not None and isinstance(before, InMemory)
        file = InFile(self._pool.scratch)
        self._storage = file
        try:
            for piece in before.pieces():
                file.write(piece)
        finally:
            before.close()
        return file

    def as_input(self) -> IO[bytes]:
        """The complete body from its start: read, readline, readlines, readinto and iteration."""
        if self._rest is not None:
            before = self._small if self._storage is None else self._storage.as_input()
            return cast(IO[bytes], RestInput(before, self._rest, self.size))
        if self._storage is not None:
            return self._storage.as_input()
        if self._small is None:
            self._small = io.BytesIO()
        self._small.seek(0)
        return self._small

    def close(self) -> None:
        """Gives memory or disk space back."""
        if self._rest is not None:
            self._rest.end()
            self._rest = None  # which knows us
        if self._promise is not None:
            self._promise.end()
        if self._small is not None:
            self._small.close()
        if self._storage is not None:
            self._storage.close()


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

    @property
    def size(self) -> int:
        """Bytes that the application has asked for, so far."""
        return self._stream.received

    def close(self) -> None:
        """The request is over: whoever still reads gets an error, not the next request."""
        self._stream.end()


STREAM_BUFFER_BYTES = 64 * 1024


class _Stream(io.RawIOBase):
    def __init__(self, begun: bytes, receive: Callable[[], bytes]) -> None:
        self._data = memoryview(begun)
        self.received = len(begun)
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
            data = self._receive()
        except BodyError as error:
            self._error = error
            raise
        self.received += len(data)
        return data

    def end(self) -> None:
        self._receive = None
        self._data = memoryview(b"")
