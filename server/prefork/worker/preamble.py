"""What comes before HTTP on a connection: the header of the PROXY protocol, then the handshake of TLS.

Owns: a connection until both are over; then `Connection` takes the socket. Both run under one `header_timeout`, and until
the first byte of TLS is here a connection costs no more than its socket. Runs in the worker, loop thread. Must not know: HTTP;
which listener wants what (`reception`).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from prefork.net.certificates import in_words
from prefork.net.proxy_protocol import BadHeaderError, Header, NoHeaderError, read_header
from prefork.worker.loop import READ, WRITE
from prefork.worker.tls_transport import TlsTransport

if TYPE_CHECKING:
    from prefork.worker.connections import Connections

RECV_BYTES = 64 * 1024

_TLS_HANDSHAKE = 0x16
"""The first byte of a ClientHello: the record type (RFC 8446 section 5.1)."""

_LONGEST_RECORD = 16 * 1024
"""Longer ones are an error (section 5.1), which OpenSSL then finds."""

Ready = Callable[["Preamble", bytes], None]
Complain = Callable[[object, str], None]


class Preamble:
    """An accepted connection that does not speak HTTP yet."""

    __slots__ = (
        "_announcement",
        "_complain",
        "_context",
        "_events",
        "_header_required",
        "_hello",
        "_home",
        "_ready",
        "bucket",
        "deadline",
        "header",
        "peer",
        "sock",
        "tls",
    )

    def __init__(
        self,
        home: Connections,
        sock: socket.socket,
        peer: object,
        context: ssl.SSLContext | None,
        announcement: str,
        ready: Ready,
        complain: Complain,
    ) -> None:
        """`announcement` is "off", "optional" or "required": the header of the PROXY protocol. `context`: None, no TLS.
        `complain` is told the peer, and what is wrong with its header."""
        self._home = home
        self._context = context
        self._announcement: bytearray | None = None if announcement == "off" else bytearray()
        self._header_required = announcement == "required"
        self._ready = ready
        self._complain = complain
        self._events = 0
        self._hello = b""
        self.sock = sock
        self.peer = peer
        """What accept(2) gave."""
        self.header: Header | None = None
        """What the proxy said, once it is here."""
        self.tls: TlsTransport | None = None
        self.deadline = home.loop.now + home.times.header_s
        self.bucket: float = 0

    def start(self) -> None:
        """Begins; the first bytes may be here already."""
        self._home.arrive(self)
        self._read()

    def limit_until(self, deadline: float) -> None:
        """Ends at `deadline` (monotonic seconds)."""
        self.deadline = deadline
        self._home.loop.watch(self)

    def expire(self) -> None:
        """Too slow."""
        self._log("no request in time")
        self.close()

    def close(self) -> None:
        """Closes the socket."""
        self.release()
        self.sock.close()
        self._home.has_room()

    def release(self) -> None:
        """Lets go of the socket, which is somebody else's from now on."""
        self._home.arrived(self)
        self._home.loop.forget(self)
        if self._events:
            self._events = 0
            self._home.loop.remove(self.sock.fileno())

    # Receiving ----------------------------------------------------------------------------------------------------

    def _on_event(self, _events: int) -> None:
        self._read()

    def _read(self) -> None:
        try:
            received = self.sock.recv(RECV_BYTES)
        except BlockingIOError:
            received = b""
        except OSError:
            self.close()
            return
        else:
            if not received:
                self.close()
                return
        if self._announcement is not None:
            self._take_announcement(received)
        elif self._context is not None:
            self._take_tls(received)

    def _take_announcement(self, received: bytes) -> None:
        assert self._announcement is not None
        self._announcement += received
        data = bytes(self._announcement)
        size = 0
        try:
            self.header = read_header(data)
        except BadHeaderError as error:
            self._complain(self.peer, str(error))
            self.close()
            return
        except NoHeaderError as error:
            if self._header_required:
                self._complain(self.peer, str(error))
                self.close()
                return
        else:
            if self.header is None:
                self._wait_for(READ)
                return
            size = self.header.size
        self._announcement = None
        if self._context is None:
            self._ready(self, data[size:])
        else:
            self._take_tls(data[size:])

    def _take_tls(self, received: bytes) -> None:
        assert self._context is not None
        if self.tls is None:
            received = self._hello + received
            if not received:
                self._wait_for(READ)
                return
            if received[0] != _TLS_HANDSHAKE:
                self._ready(self, received)
                return
            if not _has_record(received):
                # OpenSSL takes 30 KiB for the first byte: not before there is something to do.
                self._hello = received
                self._wait_for(READ)
                return
            self.tls = TlsTransport(self.sock, self._context)
        try:
            done = self.tls.handshake(received)
        except ssl.SSLError as error:
            self._handshake_failed(error)
        except OSError:
            self.close()
        else:
            if self.tls.waits_to_send:
                self._wait_for(READ | WRITE)
            elif done:
                self._ready(self, b"")
            else:
                self._wait_for(READ)

    def _handshake_failed(self, error: ssl.SSLError) -> None:
        reason = in_words(error)
        self._log(f"TLS handshake: {reason}")
        # An alert says why, and must not be overtaken by a reset.
        self.release()
        self._home.turn_away(self.sock, self.peer, {}, None, reason)

    # Small helpers ------------------------------------------------------------------------------------------------

    def _log(self, why: str) -> None:
        client = self.peer[0] if isinstance(self.peer, tuple) else "unix"
        self._home.context.log.debug("connection_refused", detail=why, client=client)

    def _wait_for(self, events: int) -> None:
        if self._events != events:
            loop, fd = self._home.loop, self.sock.fileno()
            try:
                if self._events:
                    loop.modify(fd, events)
                else:
                    loop.add(fd, events, self._on_event)
            except OSError as error:
                self._home.context.log.warning("not_watched", error=str(error))
                self.close()
                return
            self._events = events
        self._home.loop.watch(self)


def _has_record(received: bytes) -> bool:
    """A whole record is here, or can never be."""
    length = int.from_bytes(received[3:5], "big")
    return len(received) >= 5 and (len(received) >= 5 + length or length > _LONGEST_RECORD)
