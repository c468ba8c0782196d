"""What the kernel knows about a listening unix socket.

Owns: the question and its answer over netlink (sock_diag(7)). Runs in: master. Must not know: what the numbers are used for.

The kernel answers while it takes the question, so nobody ever waits here, and it answers every user. It may have been built
without (unix_diag is a module); then there is no answer.
"""

from __future__ import annotations

import os
import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1

_HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""
_REQUEST = struct.Struct("=BBHIIIII")
"""struct unix_diag_req: family, protocol, padding, states, inode, what to show, cookie (twice)."""
_ANSWER_BYTES = 16
"""struct unix_diag_msg, which attributes follow."""
_ATTRIBUTE = struct.Struct("=HH")
"""struct rtattr: length, type."""
_QUEUE = struct.Struct("=II")
"""struct unix_diag_rqlen; of a socket that listens: connections that wait, and how many may."""

_SHOW_QUEUE = 0x10
_QUEUE_ATTRIBUTE = 4
_NO_COOKIE = 0xFFFFFFFF


def unix_queue(sock: socket.socket) -> tuple[int, int] | None:
    """(length, limit) of the queue of connections that wait to be accepted; None if the kernel does not say."""
    inode = os.fstat(sock.fileno()).st_ino
    question = _REQUEST.pack(
        socket.AF_UNIX, 0, 0, 0xFFFFFFFF, inode & 0xFFFFFFFF, _SHOW_QUEUE, _NO_COOKIE, _NO_COOKIE
    )
    header = _HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_SOCK_DIAG
        ) as netlink:
            netlink.send(header + question)
            answer = netlink.recv(8192)
    except OSError:
        return None
    return _read(answer)


def _read(answer: bytes) -> tuple[int, int] | None:
    if len(answer) < _HEADER.size:
        return None
    length, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY:  # an error, such as "no such socket"
        return None
    at, end = _HEADER.size + _ANSWER_BYTES, min(length, len(answer))
    while at + _ATTRIBUTE.size <= end:
        size, attribute = _ATTRIBUTE.unpack_from(answer, at)
        if attribute == _QUEUE_ATTRIBUTE and size >= _ATTRIBUTE.size + _QUEUE.size:
            waiting, limit = _QUEUE.unpack_from(answer, at + _ATTRIBUTE.size)
            return waiting, limit
        at += max((size + 3) & ~3, _ATTRIBUTE.size)
    return None
