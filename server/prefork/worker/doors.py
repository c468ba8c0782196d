"""The listeners of a worker, ready to accept from.

Owns: from the settings of each listener to a `Door`. Runs in the worker, once. Must not know: when anything is accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefork.net.address import TcpAddress, parse_address
from prefork.net.listeners import adopt
from prefork.net.trust import TrustedPeers
from prefork.settings.model import Settings
from prefork.worker.acceptor import Door
from prefork.worker.connections import Connections
from prefork.worker.listener import Listener
from prefork.worker.reception import Reception
from prefork.worker.requestlog import wants_request_ids
from prefork.wsgi.environ import UNIX_HOST, server_environ

if TYPE_CHECKING:
    import ssl


def open_doors(
    listeners: tuple[tuple[int, str], ...],
    settings: Settings,
    context: ssl.SSLContext | None,
    connections: Connections,
) -> list[Door]:
    """One for each of `listeners`, (descriptor, address), in the order of `[server] listen`. `context` is for those with TLS.

    `connections` are complete: whether they have a fast path is known.
    """
    trusted = TrustedPeers(settings.proxy.trusted)
    doors = []
    for (fd, text), entry in zip(listeners, settings.server.listen, strict=True):
        assert context is not None or not entry.tls, "never in the clear"
        address = parse_address(text)
        scheme, port = ("https", "443") if entry.tls else ("http", "80")
        host = UNIX_HOST
        if isinstance(address, TcpAddress):
            host, port = address.host, str(address.port)
        reception = Reception(
            connections,
            server_environ(connections.context, host, port, scheme),
            context if entry.tls else None,
            entry.proxy_protocol,
            trusted,
            settings.proxy.headers,
            wants_request_ids(settings),
        )
        listener = Listener(fileno=adopt(fd).detach())
        doors.append(Door(listener, reception.receive, reception.taker(listener)))
    return doors
