"""TLS that behaves like a socket.

Owns: `TlsTransport`, the `Transport` of one TLS connection, with its handshake. Runs in the worker; used by one thread at a time,
the one that has the connection. Must not know: HTTP, epoll, how the handshake was waited for (`preamble`).

It keeps promises that make it look like a socket to epoll and to its user:

- After `recv` nothing readable is left inside: what epoll does not report is not there. So it takes one piece from the socket and
  decrypts all of it.
- What `send` reports as sent is with the kernel, all of it. Ciphertext that did not fit stays here, and as long as some does, the
  last byte of its plaintext counts as not sent: the caller offers it again, as it must with a socket, and is then told the truth.

OpenSSL works on memory (`ssl.MemoryBIO`), never on the socket. That costs a copy, and saves the second system call that reads the
head of each record, and the rule that a write which must wait has to be repeated with the same buffer.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prefork.worker.tls_records import CHUNK_BYTES, RECORD_BYTES, Records

TURN_BYTES = 1024 * 1024
"""Most that one `send` takes."""

MAX_UNSENT = 128 * 1024
"""Ciphertext waiting for the socket: a chunk. More only comes of a peer who asks and does not listen (key updates)."""


if TYPE_CHECKING:
    from prefork.worker.tls_records import RecordsInPython as Fields
else:
    Fields = object


class Connected(Fields):
    """All of `TlsTransport` but the fields, and the ordinary `recv` and `send`."""

    if not TYPE_CHECKING:
        __slots__ = ()

    object: ssl.SSLObject
    _failed: bool

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        # What SSLObject.read and write call and do nothing else, a tenth of a microsecond each.
        calls = getattr(self.object, "_sslobj", self.object)
        self._decrypt = calls.read
        self._encrypt = calls.write
        self._unsent = memoryview(b"")
        self._owed = 0
        self._early = False
        self._ended = False
        self._failed = False

    # The handshake ------------------------------------------------------------------------------------------------

    def handshake(self, received: bytes) -> bool:
        """Goes on with what was received. True: done. Then `recv` has what came behind it. Raises ssl.SSLError."""
        self._incoming.write(received)
        try:
            self.object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self.flush()
        self._early = bool(self._incoming.pending)
        return True

    @property
    def waits_to_send(self) -> bool:
        """Something of ours did not fit into the socket."""
        return bool(self._unsent or self._outgoing.pending)

    def flush(self) -> bool:
        """Sends what waits; True: nothing does any more. Raises OSError."""
        unsent = self._unsent
        while True:
            if not unsent:
                if not self._outgoing.pending:
                    return True
                unsent = memoryview(self._outgoing.read())
            try:
                sent = self._sock.send(unsent)
            except BlockingIOError:
                sent = 0
            unsent = self._unsent = unsent[sent:]
            if unsent:
                if len(unsent) + self._outgoing.pending > MAX_UNSENT:
                    raise ConnectionAbortedError("the peer makes us answer and does not read")
                return False

    # Receiving ----------------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._sock.fileno()

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """Of the socket."""
        return self._sock.getsockopt(level, option, size)

    def _read_on(self, pieces: list[bytes], error: BaseException | None = None) -> bytes:
        """Decrypts what is here behind `pieces`. `error`: that is what came of the last attempt."""
        try:
            if error is not None:
                raise error
            while not pieces or self._incoming.pending:
                piece = self._decrypt(RECORD_BYTES)
                if not piece:
                    self._sock.shutdown(socket.SHUT_RD)  # close_notify: from now on the kernel says so, too
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._failed = True
            self.flush()  # an alert
            raise
        if self.waits_to_send:
            self.flush()  # the answer to a key update
        if not pieces:
            raise BlockingIOError
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # Sending ------------------------------------------------------------------------------------------------------

    def _keep(self, records: bytes, sent: int, size: int) -> int:
        """The socket took `sent` bytes of `records`, not all: so much of their `size` bytes of plaintext counts as sent."""
        self._unsent = memoryview(records)[sent:]
        self._owed = 1
        if size == 1:
            raise BlockingIOError
        return size - 1

    def _send_much(self, data: bytes | memoryview) -> int:
        """Any amount, with something before it."""
        if not self.flush():
            raise BlockingIOError
        done, self._owed = self._owed, 0
        view = memoryview(data)
        end = min(len(view), TURN_BYTES)
        while done < end:
            done += self._encrypt(view[done : min(done + CHUNK_BYTES, end)])
            if not self.flush():
                self._owed = 1
                if done == 1:
                    raise BlockingIOError
                return done - 1
        return done

    def sendmsg(self, pieces: Iterable[bytes]) -> int:
        """As one, or each would become a record of its own."""
        return self.send(b"".join(pieces))

    def send_file(self, fd: int, offset: int, count: int) -> int:
        """Read and send: the kernel cannot encrypt for us."""
        return self.send(data) if (data := os.pread(fd, min(count, CHUNK_BYTES), offset)) else 0

    # The end ------------------------------------------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        """close_notify, then the same for TCP."""
        if how == socket.SHUT_WR:
            self._say_end()
        self._sock.shutdown(how)

    def close(self) -> None:
        """Says close_notify if nothing is left unsent; a response that was cut short ends without, so that it shows."""
        try:
            self._say_end()
        except OSError:
            pass  # the peer is gone, which is what we wanted to tell it
        self._fd = -1
        self._sock.close()

    def _say_end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._failed or not self.flush():
            return
        try:
            self.object.unwrap()
        except ssl.SSLError:
            pass  # it waits for the peer's, which we do not
        self.flush()


class TlsTransport(Connected, Records):  # type: ignore[misc]
    """The server's side of one TLS connection."""

    __slots__ = ("_failed", "_sock", "object")
