"""What the kernel knows about a TCP connection.

Owns: the numbers read from TCP_INFO (tcp(7), linux/tcp.h). Runs in: worker, master. Must not know: what they are used for.
"""

from __future__ import annotations

import socket
import struct
from typing import Protocol


class HasOptions(Protocol):
    """A socket, or what stands for one."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """See getsockopt(2)."""


_QUEUE = struct.Struct("@II")
_QUEUE_AT = 24
"""tcpi_unacked and tcpi_sacked; of a listening socket the length of its accept queue and the limit on that (tcp_get_info in
the kernel's net/ipv4/tcp.c)."""

_LAST_DATA_RECV = struct.Struct("@I")
LAST_DATA_RECV_AT = 52
"""tcpi_last_data_recv, milliseconds."""


def last_data_received_s(sock: HasOptions) -> float:
    """Seconds since the last bytes of the client arrived here, read or not; 0.0 for sockets that are not TCP.

    In steps of a tick of the kernel's clock (1 to 10 ms). Without any data it counts from the handshake. About 0.9 microseconds.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_DATA_RECV_AT + 4)
    except OSError:
        return 0.0
    if len(info) < LAST_DATA_RECV_AT + 4:
        return 0.0
    (milliseconds,) = _LAST_DATA_RECV.unpack_from(info, LAST_DATA_RECV_AT)
    return float(milliseconds) / 1000.0


def accept_queue(sock: HasOptions) -> tuple[int, int]:
    """How many connections of a listening TCP socket wait to be accepted, and how many may."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUE_AT + _QUEUE.size)
    length, limit = _QUEUE.unpack_from(info, _QUEUE_AT)
    return int(length), int(limit)
