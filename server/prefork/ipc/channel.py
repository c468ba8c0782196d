"""A channel between two processes of one server: whole messages, with descriptors.

Owns: one end of the pair; what the kernel's answers mean. Runs in: master, zygote, worker. Must not know:
what a message says (see `messages`), event loops, processes.

A pair of SOCK_SEQPACKET sockets (unix(7)) keeps message borders, so no framing can go out of step when a peer
dies in the middle of a write, and unlike SOCK_DGRAM it reports the end of the peer.
"""

from __future__ import annotations

import array
import errno
import os
import select
import socket
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from prefork.ipc.messages import AnyMessage, Message, decode, encode

MAX_PACKET = 256 * 1024
"""Bytes of the longest packet. `messages.MAX_TEXT` keeps messages far below it."""

MAX_FDS = 250
"""Most descriptors in one packet (the kernel's own limit, SCM_MAX_FD, is 253: unix(7))."""

_PEER_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN})
# ETOOMANYREFS: more descriptors are in flight than an unprivileged sender may open (unix(7)); it passes.
_QUEUE_FULL = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})

_INT_SIZE = array.array("i").itemsize
# MSG_CMSG_CLOEXEC: set by the kernel at arrival, so no fork+exec in between can inherit a descriptor.
_FLAGS_IN = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_CONTROL_SPACE = socket.CMSG_SPACE(MAX_FDS * _INT_SIZE)


class ChannelError(Exception):
    """A packet was lost or is no message: what the peer believes is unknown now, so the channel is to be
    closed.
    """


class ChannelClosed(ChannelError):  # noqa: N818 - an event of every life, not a fault
    """The peer is gone (it closed its end, or died) and everything it sent has been received."""


class Received(NamedTuple):
    """One packet. The receiver owns `fds` (close-on-exec) and closes them."""

    message: AnyMessage
    fds: tuple[int, ...]


class Channel:
    """One end of a pair. Non-blocking, close-on-exec; not for several threads at once."""

    __slots__ = ("_sock",)

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`, a connected AF_UNIX SOCK_SEQPACKET socket."""
        sock.setblocking(False)
        sock.set_inheritable(False)
        # Room for the longest packet wherever net.core.wmem_default is small; capped by wmem_max.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_PACKET)
        self._sock = sock

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends."""
        first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(first), cls(second)

    @classmethod
    def from_fd(cls, fd: int) -> Channel:
        """Take over an inherited descriptor; it becomes close-on-exec. Raises OSError if it is not a
        socket.
        """
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""
        return self._sock.fileno()

    def send(self, message: Message, fds: Sequence[int] = ()) -> bool:
        """Send one message; copies of `fds` travel with it (close yours).

        Never blocks. False: it was not sent, because the peer is gone or its queue is full. Raises
        ValueError for a message or a number of descriptors that can never be sent, OSError when `fds` or
        the channel are closed.
        """
        packet = encode(message)
        if len(packet) > MAX_PACKET or len(fds) > MAX_FDS:
            raise ValueError(
                f"{type(message).__name__} of {len(packet)} bytes with {len(fds)} descriptors does not fit "
                f"a packet ({MAX_PACKET} bytes, {MAX_FDS} descriptors)"
            )
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([packet], control, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError as error:
            if error.errno in _PEER_GONE or error.errno in _QUEUE_FULL:
                return False
            if error.errno == errno.EMSGSIZE:
                raise ValueError(
                    f"{type(message).__name__} of {len(packet)} bytes exceeds net.core.wmem_max"
                ) from error
            raise
        return True

    def receive(self) -> Received | None:
        """The next packet; None when nothing is there now.

        Raises ChannelClosed at the end, ChannelError for a truncated or unreadable packet (its descriptors
        are closed: nothing leaks).
        """
        while True:
            try:
                packet, control, flags, _ = self._sock.recvmsg(MAX_PACKET, _CONTROL_SPACE, _FLAGS_IN)
                break
            except BlockingIOError:
                return None
            except ConnectionResetError:
                # The peer closed its end with packets of ours unread. The kernel reports that once, and
                # before the packets of the peer that still wait here (a worker's last words): go on
                # reading, the end follows.
                continue
        fds = _descriptors(control)
        if not packet:
            _close_all(fds)
            raise ChannelClosed("the peer closed the channel")
        if flags & socket.MSG_CTRUNC:
            _close_all(fds)
            raise ChannelError(
                "descriptors of a packet were lost (too many in it, or the limit of open files is reached)"
            )
        if flags & socket.MSG_TRUNC:
            _close_all(fds)
            raise ChannelError(f"a packet longer than {MAX_PACKET} bytes was cut")
        try:
            return Received(decode(packet), fds)
        except msgspec.MsgspecError as error:
            _close_all(fds)
            raise ChannelError(f"a packet is no message: {error}") from error

    def wait(self, timeout_s: float | None) -> bool:
        """Block until `receive` has something to say (a packet or the end); False after `timeout_s`
        seconds.
        """
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000))

    def detach(self) -> int:
        """Give the descriptor away."""
        return self._sock.detach()

    def close(self) -> None:
        """Close this end. May be called again."""
        self._sock.close()


def _descriptors(control: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    fds = array.array("i")
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            # A truncated array may end in the middle of an int: cmsg(3).
            fds.frombytes(data[: len(data) - len(data) % _INT_SIZE])
    return tuple(fds)


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
