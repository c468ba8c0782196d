"""What a connection sends and receives through: the socket itself, or something that behaves like it.

Owns: `Transport`, the part of a non-blocking socket that connections use. Runs in the worker; a transport is used by one thread
at a time, the one that has the connection. Must not know: TLS (`tls_transport` is the other kind; a server without TLS never
loads it), HTTP, epoll.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Protocol


class Transport(Protocol):
    """A socket, as far as a connection needs it. Raises OSError when the peer is gone, BlockingIOError when it must wait."""

    def fileno(self) -> int:
        """The descriptor that epoll watches."""

    def recv(self, size: int, /) -> bytes:
        """At least one byte and about `size` at most; b"": the peer has ended."""

    def send(self, data: bytes | memoryview, /) -> int:
        """How many bytes it took. The rest is to be offered again, or never again any."""

    def sendmsg(self, pieces: Iterable[bytes], /) -> int:
        """Like `send`, for all pieces as one."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """See getsockopt(2)."""

    def shutdown(self, how: int, /) -> None:
        """SHUT_WR: tell the peer that no more will come. SHUT_RDWR: it is over."""

    def close(self) -> None:
        """Give the socket back."""


def send_file(transport: Transport, fd: int, offset: int, count: int) -> int:
    """Sends from a file without the caller seeing the bytes, with sendfile(2) unless the transport has a way of its own.

    0: the file is shorter. Raises as `Transport` does.
    """
    own: Callable[[int, int, int], int] | None = getattr(transport, "send_file", None)
    return os.sendfile(transport.fileno(), fd, offset, count) if own is None else own(fd, offset, count)
