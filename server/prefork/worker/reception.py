"""How a worker receives the connections of one listener.

Owns: what is expected before HTTP on this listener, whom it believes, and the environ that results. Runs in the worker, loop
thread. Must not know: how any of it is read (`preamble`, `net.proxy_protocol`, `wsgi.forwarded`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prefork.net.proxy_protocol import Header
from prefork.net.trust import TrustedPeers
from prefork.worker.connections import Connections
from prefork.worker.requestid import request_id_steps
from prefork.wsgi.environ import connection_environ, text_of_peer
from prefork.wsgi.forwarded import reader

if TYPE_CHECKING:
    import ssl

    from prefork.worker.preamble import Preamble

COMPLAINT_INTERVAL_S = 60.0


class Reception:
    """One listener's."""

    def __init__(
        self,
        connections: Connections,
        environ: dict[str, Any],
        context: ssl.SSLContext | None,
        announcement: str,
        trusted: TrustedPeers,
        headers: str,
        request_ids: bool = False,
    ) -> None:
        """`environ`: what all connections of the listener share. `announcement`: `proxy_protocol` of the listener, `headers`:
        of `[proxy]`. `request_ids`: each request gets a name."""
        self._connections = connections
        self._environ = environ
        self._context = context
        self._announcement = announcement
        self._trusted = trusted
        correct = reader(headers, trusted.__contains__) if trusted else None
        self._correct, self._complete = request_id_steps(request_ids, correct)
        self._silent_until = 0.0
        if context is not None or announcement != "off":
            # Only here: a server that needs none of it does not load the ssl module, two megabytes in each process.
            from prefork.worker.preamble import Preamble
            from prefork.worker.tls import tls_environ

            self._new_preamble, self._tls_environ = Preamble, tls_environ

    def receive(self, sock: socket.socket, peer: object) -> None:
        """Takes an accepted, non-blocking socket. `peer` is what accept(2) gave."""
        announcement = self._announcement
        if announcement != "off" and not self._trusted.trusts(peer):
            if announcement == "required":
                self._complain(peer, "not among [proxy] trusted, so its PROXY header is not read")
                sock.close()
                return
            announcement = "off"
        if announcement == "off" and self._context is None:
            correct = self._correct
            if correct is not None and not self._trusted.trusts(peer):
                correct = self._complete
            self._connections.open(sock, peer, connection_environ(self._environ, peer), correct)
        else:
            preamble = self._new_preamble(
                self._connections, sock, peer, self._context, announcement, self._ready, self._complain
            )
            preamble.start()

    def taker(self, listener: socket.socket) -> Callable[[], bool] | None:
        """What accepts from this listener and receives, in one step: False, if nobody waits. Raises what accept(2) raises.

        None: there is no compiled twin of that here, or something comes before HTTP."""
        make = self._connections.taker
        if make is None or self._context is not None or self._announcement != "off":
            return None
        return make(listener.fileno(), self._environ, self._trusted.trusts, self._correct, self._complete)

    def _complain(self, peer: object, why: str) -> None:
        """Mostly a mistake in somebody's settings, so it is told; and mostly for each connection, so it is not told each time."""
        now = self._connections.loop.now
        if now >= self._silent_until:
            self._silent_until = now + COMPLAINT_INTERVAL_S
            self._connections.context.log.warning(
                "proxy_header_refused", client=text_of_peer(peer), detail=why
            )

    def _ready(self, preamble: Preamble, first: bytes) -> None:
        """All that comes before HTTP has come; `first` is what was received behind it."""
        peer, header = preamble.peer, preamble.header
        environ = self._environ
        correct = self._correct
        if header is not None and header.source is not None:
            peer = header.source
            environ = _as_if_connected_there(environ, header)
        elif header is not None:
            correct = self._complete  # the proxy does not say whose words follow
        if correct is not None and not self._trusted.trusts(peer):
            correct = self._complete
        preamble.release()
        if self._context is not None and preamble.tls is None:
            plain = environ | {"wsgi.url_scheme": "http"}
            detail = "plain HTTP where TLS is spoken"
            self._connections.turn_away(preamble.sock, peer, connection_environ(plain, peer), 400, detail)
            return
        environ = connection_environ(environ, peer)
        environ["prefork.peer"] = text_of_peer(preamble.peer)
        if preamble.tls is None:
            self._connections.open(preamble.sock, peer, environ, correct, first)
        else:
            environ.update(self._tls_environ(preamble.tls.object))
            self._connections.open(preamble.tls, peer, environ, correct)


def _as_if_connected_there(environ: dict[str, Any], header: Header) -> dict[str, Any]:
    """SERVER_NAME and SERVER_PORT of the address that the client connected to."""
    if not isinstance(header.destination, tuple):
        return environ
    host, port = header.destination
    return environ | {"SERVER_NAME": host, "SERVER_PORT": str(port)}
