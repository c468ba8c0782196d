"""The ordinary steps of a TLS connection: one record in, one response out.

Owns: `recv` and `send` where nothing is out of the ordinary, the fields they need, and the choice between them and their compiled
twin (`_tls.c`). Everything else goes on in `_read_on`, `_send_much` and `_keep` of `tls_transport`. Runs in the worker; used by
one thread at a time, the one that has the connection. Must not know: handshakes, ends, HTTP.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prefork.speedups import tls

CHUNK_BYTES = 64 * 1024
"""Plaintext encrypted at once: four records, one system call."""

RECORD_BYTES = 16 * 1024
"""Plaintext of a record, at most (RFC 8446 section 5.1); a read gives no more than one."""


class RecordsInPython:
    """The reference."""

    __slots__ = (
        "_decrypt",
        "_early",
        "_encrypt",
        "_ended",
        "_fd",
        "_incoming",
        "_outgoing",
        "_owed",
        "_unsent",
    )

    _decrypt: Callable[[int], bytes]
    _early: bool
    """More came with the end of the handshake."""
    _encrypt: Callable[[bytes | memoryview], int]
    _ended: bool
    """Our direction."""
    _fd: int
    """The socket; -1: it is closed."""
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _owed: int
    """Bytes encrypted, but not reported as sent: 0 or 1."""
    _sock: socket.socket
    _unsent: memoryview
    """Of the records that have left `_outgoing`."""

    if TYPE_CHECKING:

        def _read_on(self, pieces: list[bytes], error: BaseException | None = None) -> bytes:
            raise NotImplementedError

        def _send_much(self, data: bytes | memoryview) -> int:
            raise NotImplementedError

        def _keep(self, records: bytes, sent: int, size: int) -> int:
            raise NotImplementedError

    def recv(self, size: int, /) -> bytes:
        """Everything that can be decrypted of what is there."""
        if self._early:
            self._early = False
            return self._read_on([])
        received = self._sock.recv(size)
        # The end without close_notify (RFC 8446 section 6.1) is harmless, for no request ends by the end of its connection.
        if self._ended or not received:
            return received  # `_ended`: only to be thrown away
        self._incoming.write(received)
        try:
            piece = self._decrypt(RECORD_BYTES)
        except ssl.SSLError as error:
            return self._read_on([], error)
        # To read until nothing is left would cost an exception, more than to decrypt a small record. OpenSSL takes nothing of the
        # next record (it would with SSL_CTX_set_read_ahead(3)), and this one has been read entirely.
        if not piece or self._incoming.pending or self._outgoing.pending or self._unsent:
            return self._read_on([piece] if piece else [])
        return piece

    def send(self, data: bytes | memoryview, /) -> int:
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
        return size if sent == len(records) else self._keep(records, sent, size)


Records: Any = RecordsInPython if tls is None else tls.Records
