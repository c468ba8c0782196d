"""Bytes of a response that the socket did not take yet.

Owns: their order, and where they wait: in memory up to a bound, beyond that in a temporary file, so that neither a slow reader
nor an application that writes faster than its client reads costs more than `MEMORY_BYTES`. One piece, however large, is at first
kept as it is: it is in memory already, and most clients take it faster than it could be copied. `spill` moves it to the file, so
much at a time, if its client does not. Runs in the worker: used by the thread that has the connection, one at a time. Must not
know: HTTP, epoll.
"""

from __future__ import annotations

from collections import deque
from typing import IO

from prefork.worker.transport import Transport, send_file
from prefork.wsgi.filewrapper import FileSpan
from prefork.wsgi.spool import temporary_file

MEMORY_BYTES = 256 * 1024
"""What waits in memory for each connection; php-fpm and nginx buffer alike (8 x 4..8 KiB and up)."""

PIECE_BYTES = 256
"""What a piece costs besides its bytes: a view of it, and the object that is viewed."""

TURN_BYTES = 1024 * 1024
"""Most that one call of `send` sends: a reader as fast as loopback must not hold the loop for all of it."""


_NO_PARTS: deque[memoryview | FileSpan] = deque(maxlen=0)
"""Of all that have held nothing yet: most connections never do, and an own one is 700 bytes."""


class FileTruncatedError(OSError):
    """A file became shorter while it was being sent: the promised length cannot be kept."""


class Outbox:
    """What is still to be sent, in order: views of memory, spans of the application's file or of the spool."""

    __slots__ = ("_first", "_held", "_parts", "_size", "_spool", "_spool_end", "empty")

    def __init__(self) -> None:
        self.empty = True
        """Nothing waits. Read only."""
        self._parts = _NO_PARTS
        self._first = 0  # bytes left of the piece that came when nothing waited,
        self._held = 0  # and of the whole object, which any rest of it keeps in memory
        self._size = 0  # of all others in memory
        self._spool: IO[bytes] | None = None
        self._spool_end = 0

    def add(self, data: bytes | memoryview) -> None:
        """Appends bytes. Raises OSError when they have to go to a disk that is full."""
        self.empty = False
        view = memoryview(data)
        cost = len(view) + PIECE_BYTES
        if not self._parts:
            self._parts = deque((view,))
            self._first = len(view)
            self._held = memoryview(view.obj).nbytes
            return
        if self._size + cost <= MEMORY_BYTES:
            self._parts.append(view)
            self._size += cost
            return
        start = self._write(view)
        self._put_span(len(self._parts), start, len(view))

    def add_file(self, span: FileSpan) -> None:
        """Appends a span of the application's file."""
        self.empty = False
        if self._parts:
            self._parts.append(span)
        else:
            self._parts = deque((span,))

    @property
    def oversized(self) -> bool:
        """There is something for `spill` to do."""
        return self._held + self._size > MEMORY_BYTES

    def spill(self, most: int) -> bool:
        """Moves at most `most` bytes of a piece above the bound to the file. True: there is more.

        Raises OSError (disk full): they stay where they are.
        """
        if not self.oversized:
            return False
        at, view = next((at, part) for at, part in enumerate(self._parts) if type(part) is memoryview)
        part = view[:most]
        start = self._write(part)
        if self._took(len(part), view):
            del self._parts[at]
        else:
            self._parts[at] = view[len(part) :]
        self._put_span(at, start, len(part))
        return self.oversized

    def _took(self, count: int, view: memoryview) -> bool:
        """`count` bytes of the first view are not in memory any more. True: it is done with."""
        done = count == len(view)
        if self._first:
            self._first -= count
            self._held *= not done
        else:
            self._size -= count + done * PIECE_BYTES
        return done

    def _write(self, view: memoryview) -> int:
        """Appends to the spool; returns where."""
        if self._spool is None:
            self._spool = temporary_file("prefork-out-", buffering=0)
            self._spool_end = 0
        start = self._spool_end
        while view:
            written = self._spool.write(view)
            self._spool_end += written
            view = view[written:]
        return start

    def _put_span(self, at: int, start: int, length: int) -> None:
        """A span of the spool becomes part number `at`, or a part of the one before it."""
        assert self._spool is not None
        fd = self._spool.fileno()
        before = self._parts[at - 1] if at else None
        if isinstance(before, FileSpan) and before.fd == fd and before.offset + before.length == start:
            self._parts[at - 1] = FileSpan(fd, before.offset, before.length + length)
        else:
            self._parts.insert(at, FileSpan(fd, start, length))

    def send(self, sock: Transport) -> bool:
        """Sends what the socket takes now, within a bound. True: all is out. Raises OSError when the peer is gone."""
        parts = self._parts
        left = TURN_BYTES
        try:
            while parts and left > 0:
                part = parts[0]
                if type(part) is memoryview:
                    sent = sock.send(part if len(part) <= left else part[:left])
                    if self._took(sent, part):
                        parts.popleft()
                    else:
                        parts[0] = part[sent:]
                        if sent < left:  # the socket is full: to ask it again would only cost a system call
                            return False
                else:
                    assert isinstance(part, FileSpan)
                    sent = send_file(sock, part.fd, part.offset, min(part.length, left))
                    if not sent:
                        raise FileTruncatedError("the file became shorter while it was being sent")
                    if sent < part.length:
                        parts[0] = FileSpan(part.fd, part.offset + sent, part.length - sent)
                        if sent < left:
                            return False
                    else:
                        parts.popleft()
                left -= sent
        except BlockingIOError:
            return False
        if not parts:
            self._drop_spool()
            self.empty = True
        return self.empty

    def _drop_spool(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def clear(self) -> None:
        """The connection is gone."""
        self._parts = _NO_PARTS
        self._first = self._held = self._size = 0
        self._drop_spool()
        self.empty = True
