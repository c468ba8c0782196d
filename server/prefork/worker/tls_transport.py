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
from collections.abc import Callable, Iterable

CHUNK_BYTES = 64 * 1024
"""Plaintext encrypted at once: four records, one system call."""

RECORD_BYTES = 16 * 1024
"""Plaintext of a record, at most (RFC 8446 section 5.1); a read gives no more than one."""

TURN_BYTES = 1024 * 1024
"""Most that one `send` takes."""

MAX_UNSENT = 128 * 1024
"""Ciphertext waiting for the socket: a chunk. More only comes of a peer who asks and does not listen (key updates)."""


class TlsTransport:
    """The server's side of one TLS connection."""

    __slots__ = (
        "_decrypt",
        "_early",
        "_encrypt",
        "_ended",
        "_failed",
        "_incoming",
        "_outgoing",
        "_owed",
        "_sock",
        "_tls",
        "_unsent",
        "object",
    )

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.object: ssl.SSLObject = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        # What SSLObject.read and write call and do nothing else, a tenth of a microsecond each.
        calls = getattr(self.object, "_sslobj", self.object)
        self._decrypt: Callable[[int], bytes] = calls.read
        self._encrypt: Callable[[bytes | memoryview], int] = calls.write
        self._unsent = memoryview(b"")
        self._owed = 0  # bytes encrypted, but not reported as sent: 0 or 1
        self._early = False  # more came with the end of the handshake
        self._ended = False  # our direction
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

    def recv(self, size: int) -> bytes:
        """Everything that can be decrypted of what is there; see above."""
        incoming = self._incoming
        if self._early:
            self._early = False
        else:
            received = self._sock.recv(size)
            # The end without close_notify (RFC 8446 section 6.1) is harmless, for no request ends by the end of its connection.
            if self._ended or not received:
                return received  # `_ended`: only to be thrown away
            incoming.write(received)
        pieces = []
        try:
            while piece := self._decrypt(RECORD_BYTES):
                pieces.append(piece)
                # To read until nothing is left would cost an exception, more than to decrypt a small record. OpenSSL takes
                # nothing of the next record (it would with SSL_CTX_set_read_ahead(3)), and this one has been read entirely.
                if not incoming.pending:
                    break
            else:
                self._sock.shutdown(socket.SHUT_RD)  # close_notify: from now on the kernel says so, too
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._failed = True
            self.flush()  # an alert
            raise
        if self._outgoing.pending or self._unsent:
            self.flush()  # the answer to a key update
        if not pieces:
            raise BlockingIOError
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    # Sending ------------------------------------------------------------------------------------------------------

    def send(self, data: bytes | memoryview) -> int:
        """Encrypts and sends until the socket is full."""
        size = len(data)
        if self._unsent or self._owed or not 0 < size <= CHUNK_BYTES:
            return self._send_much(data)
        self._encrypt(data)
        records = self._outgoing.read()  # behind an answer that may wait there
        try:
            sent = self._sock.send(records)
        except BlockingIOError:
            sent = 0
        if sent == len(records):
            return size
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
