"""Listening sockets that were there before this process.

Owns: what such a descriptor must be to be served, and which address asked for it is the one it has. Runs in: master. Must not
know: who passed it, settings.

O_NONBLOCK and socket options live in the open file description, which the service manager shares; it only waits on its copy.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat

from prefork.errors import ListenError
from prefork.net.address import TcpAddress, UnixAddress
from prefork.net.listeners import Keeper, Listener, ListenSpec, adopt
from prefork.net.tcp import numeric_address, real_address


def inherit(fd: int, name: str, keeper: Keeper) -> Listener:
    """Take over the descriptor, which `keeper` calls `name`. Raises ListenError, and then it is closed."""
    problem = _problem(fd)
    if problem:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise ListenError(f'the descriptor {fd} ("{name}") is {problem}')
    sock = adopt(fd)
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        # Accepted sockets inherit it (see net.tcp); a socket unit sets it only with NoDelay=.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Listener(ListenSpec(address_of(sock)), sock, keeper, name)


def address_of(sock: socket.socket) -> TcpAddress | UnixAddress:
    """Where it is bound."""
    if sock.family != socket.AF_UNIX:
        return real_address(sock)
    name = sock.getsockname()
    # unix(7): the name of an abstract socket begins with a NUL, and Python gives it as bytes.
    return UnixAddress(f"@{os.fsdecode(name)[1:]}" if isinstance(name, bytes) else name)


def is_at(listener: Listener, address: TcpAddress | UnixAddress) -> bool:
    """It is what binding `address` would have made."""
    if address in (listener.address, listener.spec.address):
        return True
    if not isinstance(address, TcpAddress) or not isinstance(listener.address, TcpAddress):
        return False
    if numeric_address(address) == listener.address:
        return True
    # One socket for both families, as systemd makes of "ListenStream=80" (ipv6(7), IPV6_V6ONLY).
    wildcard = address.host == "0.0.0.0" and listener.address.host == "::"
    return wildcard and address.port == listener.address.port and _takes_ipv4(listener.fileno())


def _problem(fd: int) -> str:
    """What it is instead of a listening stream socket."""
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return "no socket"
        with socket.socket(fileno=os.dup(fd)) as sock:
            if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
                return f"a socket of another family ({sock.family})"
            if sock.type != socket.SOCK_STREAM:
                return "no stream socket"
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return "a socket that does not listen"
    except OSError as error:
        return f"not usable: {error.strerror}"
    return ""


def _takes_ipv4(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as sock:
        return not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
