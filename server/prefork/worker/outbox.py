"""Bytes of a response that the socket did not take yet.

Owns: a bounded buffer in memory that goes on in a temporary file, so that neither a slow reader nor an application that writes
faster than its client reads costs more than `MEMORY_BYTES`. Runs in the worker: used by the thread that has the connection, one
at a time. Must not know: HTTP, epoll.
"""

from __future__ import annotations

from collections import deque
from typing import IO

from prefork.worker.transport import Transport, send_file
from prefork.wsgi.filewrapper import FileSpan
from prefork.wsgi.spool import temporary_file

MEMORY_BYTES = 256 * 1024
"""What waits in memory for each connection; php-fpm and nginx buffer alike (8 x 4..8 KiB and up)."""

TURN_BYTES = 1024 * 1024
"""Most that one call of `send` hands to sendfile(2): a reader as fast as loopback must not hold the loop for a whole file."""


class FileTruncatedError(OSError):
    """A file became shorter while it was being sent: the promised length cannot be kept."""


class Outbox:
    """What is still to be sent, in order: pieces in memory, a file span, a spool."""

    __slots__ = ("_pieces", "_size", "_span", "_spool", "_spool_read", "_spool_written", "empty")

    def __init__(self) -> None:
        self.empty = True
        """Nothing waits. Read only."""
        self._pieces: deque[memoryview] = deque()
        self._size = 0
        self._span: FileSpan | None = None
        self._spool: IO[bytes] | None = None
        self._spool_read = 0
        self._spool_written = 0

    def add(self, data: bytes | memoryview) -> None:
        """Appends bytes. Raises OSError when they have to go to a disk that is full."""
        self.empty = False
        if self._spool is None and self._size + len(data) <= MEMORY_BYTES:
            self._pieces.append(memoryview(data))
            self._size += len(data)
            return
        if self._spool is None:
            self._spool = temporary_file("prefork-out-", buffering=0)
            self._spool_read = self._spool_written = 0
        view = memoryview(data)
        while view:
            written = self._spool.write(view)
            self._spool_written += written
            view = view[written:]

    def add_file(self, span: FileSpan) -> None:
        """Appends a span of the application's file; nothing is added behind it until it is out."""
        self.empty = False
        self._span = span

    def send(self, sock: Transport) -> bool:
        """Sends what the socket takes now, within a bound. True: all is out. Raises OSError when the peer is gone."""
        try:
            while self._pieces:
                piece = self._pieces[0]
                sent = sock.send(piece)
                self._size -= sent
                if sent < len(piece):
                    self._pieces[0] = piece[sent:]
                else:
                    self._pieces.popleft()
            if self._spool is not None:
                self._send_spool(sock, self._spool)
            elif self._span is not None:
                self._send_span(sock, self._span)
        except BlockingIOError:
            return False
        self.empty = self._span is None and self._spool is None
        return self.empty

    def _send_span(self, sock: Transport, span: FileSpan) -> None:
        sent = send_file(sock, span.fd, span.offset, min(span.length, TURN_BYTES))
        if not sent:
            raise FileTruncatedError("the file became shorter while it was being sent")
        left = span.length - sent
        self._span = FileSpan(span.fd, span.offset + sent, left) if left else None

    def _send_spool(self, sock: Transport, spool: IO[bytes]) -> None:
        left = self._spool_written - self._spool_read
        self._spool_read += send_file(sock, spool.fileno(), self._spool_read, min(left, TURN_BYTES))
        if self._spool_read == self._spool_written:
            self._drop_spool()

    def _drop_spool(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def clear(self) -> None:
        """The connection is gone."""
        self._pieces.clear()
        self._size = 0
        self._span = None
        self._drop_spool()
        self.empty = True
