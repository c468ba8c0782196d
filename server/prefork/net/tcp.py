"""Listening TCP sockets.

Owns: host names to addresses, socket options, what each failure means for the person who configured the
address. Runs in: master. Must not know: unix sockets, workers.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from pathlib import Path
from typing import Any

from prefork.errors import ListenError
from prefork.net.address import TcpAddress
from prefork.net.holder import find_tcp_holder

_PORT_START = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


def bind_tcp(address: TcpAddress, backlog: int) -> socket.socket:
    """A listening socket: non-blocking, close-on-exec. Raises ListenError."""
    family, sockaddr = _resolve(address)
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise ListenError(_explain(address, sockaddr, error)) from error
    try:
        _set_options(sock)
        sock.bind(sockaddr)
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise ListenError(_explain(address, sockaddr, error)) from error
    return sock


def real_address(sock: socket.socket) -> TcpAddress:
    """The numeric address and the port that `sock` is bound to."""
    sockaddr = sock.getsockname()
    host, port = socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return TcpAddress(host, int(port))


def numeric_address(address: TcpAddress) -> TcpAddress:
    """Where `bind_tcp` would bind it, as numbers. Raises ListenError for a host that is not known."""
    _, sockaddr = _resolve(address)
    host, port = socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
    return TcpAddress(host, int(port))


def _resolve(address: TcpAddress) -> tuple[socket.AddressFamily, Any]:
    """One address of the host: the first IPv4 one, else the first.

    A name stands for one listener, so that port 0 gives one port and a reload can compare what it has with
    what is asked for. IPv4 first: clients that look up `localhost` try both, and programs that know one
    family know that.
    """
    try:
        # As bytes: the host is plain ASCII, and a text would go through the IDNA codec, whose rules are stricter.
        answers = socket.getaddrinfo(address.host.encode(), address.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ListenError(
            f"cannot listen on {address}: the host {address.host!r} is unknown ({error.strerror}); use an IP address "
            "or a name this machine can look up"
        ) from error
    family, _, _, _, sockaddr = next((a for a in answers if a[0] == socket.AF_INET), answers[0])
    return family, sockaddr


def _set_options(sock: socket.socket) -> None:
    # Without it a restart fails for as long as old connections are in TIME_WAIT. On Linux it never lets two
    # sockets listen on one address (socket(7)). SO_REUSEPORT would: it spreads the backlog over several
    # queues, and the connections in the queue of a process that leaves are lost.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # On Linux accepted sockets inherit it, which saves a system call for each connection.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sock.family == socket.AF_INET6:
        # "[::]:80" then leaves "0.0.0.0:80" to a listener of its own (ipv6(7)).
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _explain(address: TcpAddress, sockaddr: Any, error: OSError) -> str:
    start = f"cannot listen on {address}: "
    if error.errno == errno.EADDRINUSE:
        holder = find_tcp_holder(sockaddr[0], sockaddr[1])
        if holder is not None and holder.is_us:
            return f"{start}this server listens on an address that covers it; a restart can change that"
        by = f" by {holder}" if holder else ""
        return f"{start}the address is in use{by}; stop that or use another port"
    if error.errno in (errno.EACCES, errno.EPERM):
        limit = _first_free_port()
        if address.port < limit:
            return (
                f"{start}ports below {limit} need root, CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=) "
                f"or a systemd socket unit; else use a port from {limit} up, or lower "
                "net.ipv4.ip_unprivileged_port_start"
            )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{start}no network interface of this machine has the address {sockaddr[0]} (see `ip address`)"
    if error.errno == errno.EAFNOSUPPORT:
        return f"{start}IPv6 is switched off on this machine; listen on an IPv4 address"
    return start + os.strerror(error.errno or 0).lower()


def _first_free_port() -> int:
    try:
        return int(_PORT_START.read_text())
    except (OSError, ValueError):
        return 1024


class _Instruction(ctypes.Structure):
    """struct sock_filter of linux/filter.h."""

    _fields_ = [
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    ]


_SO_ATTACH_FILTER = 26

_DROP_SYNS = (
    (
        0x30,
        0,
        0,
        13,
    ),  # load the byte of the flags (RFC 9293 section 3.1; a filter of a TCP socket begins at its header)
    (0x54, 0, 0, 0x12),  # SYN and ACK of them
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # else let it pass
)


def drop_syns(sock: socket.socket) -> None:
    """Have the kernel ignore attempts to connect to this listening socket (socket(7), SO_ATTACH_FILTER).

    Handshakes that have begun go on. Clients try again after a second, and are refused once the socket is closed everywhere;
    without this, those who come between the last accept(2) and that close would be accepted by the kernel and then reset.
    A system that forbids filters only leaves that gap.
    """
    program = (_Instruction * len(_DROP_SYNS))(*(_Instruction(*each) for each in _DROP_SYNS))
    # struct sock_fprog: how many, and where.
    argument = struct.pack("@HP", len(program), ctypes.addressof(program))
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)
