"""The rest of a large body stays in the kernel until all of it is there; then the application reads it from there.

Most bodies come as fast as the network carries them. To move such a body into memory of ours first means to write it where no
cache has it, and to read it from there: twice the cost of receiving it. So if the kernel has room for what is missing, it is
asked to wake us when that is complete (SO_RCVLOWAT, socket(7); since Linux 4.18 a TCP socket then also makes room for as much).
Then the application is called, and what it reads is received into the very object that it is given. It never waits: all is here.
It can seek: what it reads stays in the kernel until the request is over (MSG_PEEK with SO_PEEK_OFF, which TCP has since Linux
6.9; before that, nothing is kept).

For a moment only: a body that is not complete by then comes the ordinary way, with all its limits. What waits in the kernel is
counted as if it were in memory of ours (`ChunkPool.promise`). If the kernel wakes us too early, because the window is full (which
opens with what a connection has received so far), we take what is there and leave the rest once more.

Owns: which bodies, the options of the socket, whose the socket is meanwhile. Runs in the worker: `keep`, `wait`, `complete`,
`stop` and `hand_over` in the loop thread, the rest in the thread that has the request. Must not know: HTTP, epoll, deadlines.
"""

from __future__ import annotations

import mmap
import socket
import struct
import sys
from collections.abc import Callable
from fcntl import ioctl
from termios import FIONREAD

from prefork.worker.takeover import Claim
from prefork.worker.transport import Transport
from prefork.wsgi.input import BodyError, SpooledBody

MOMENT_S = 1.0
"""How long a body may take for that."""

MOST_BYTES = 16 * 1024 * 1024
"""Of one body. The kernel's own limit is mostly lower: half of what net.ipv4.tcp_rmem allows."""

TRIES = 4
"""How often the rest of one body is left in the kernel."""

LOOSE = 1.25
"""The kernel's memory for a body over its bytes, from which on it is not read from there: for each piece of it, the kernel looks
for the place from the first piece on, and what came in many small ones would take time that grows with their square."""

_SO_PEEK_OFF, _SO_MEMINFO = (
    42,
    55,
)  # include/uapi/asm-generic/socket.h; the module `socket` has no names for them
_RECEIVED = struct.Struct("@I")  # SK_MEMINFO_RMEM_ALLOC, the first field (linux/sock_diag.h)
_NOTHING = bytes(4)


class Keeper:
    """What one worker keeps."""

    def __init__(self) -> None:
        self._most = {
            socket.AF_INET: MOST_BYTES,
            socket.AF_INET6: MOST_BYTES,
        }  # as much as no socket has refused
        self._nowhere: mmap.mmap | None = None

    def keep(self, sock: Transport, body: SpooledBody, missing: int) -> Kept | None:
        """Has the kernel keep the rest of a body. None: not so much, or not of this one."""
        if not isinstance(sock, socket.socket):
            sock = getattr(sock, "real", sock)  # TLS has none: what is in its socket is no body
        if not isinstance(sock, socket.socket) or missing > self._most.get(sock.family, 0):
            return None
        if self._nowhere is None:
            self._nowhere = mmap.mmap(-1, MOST_BYTES)
        kept = Kept(sock, body, self._nowhere)
        if not kept.wait(missing):
            return None
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
            most = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
        except OSError:  # this kernel cannot
            most = 0
        if most < missing:
            self._most[sock.family] = most
            kept.stop()
            return None
        return kept


class Kept:
    """The rest of one body."""

    __slots__ = (
        "_body", "_claim", "_ended", "_handed_over", "_nowhere", "_peeked", "_sock", "_tries", "left", "patience_s", "waiting",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, body: SpooledBody, nowhere: mmap.mmap) -> None:
        """`nowhere` is never written to, nor read."""
        self._sock = sock
        self._body = body
        self._nowhere = nowhere
        self._claim: Callable[[], Claim | None] = lambda: None
        self._peeked = 0  # how far the kernel has come; -1: nobody knows
        self._ended = False
        self._handed_over = False
        self._tries = TRIES
        self.left = 0
        """Bytes of the body in the socket, or on their way there."""
        self.waiting = False
        """It is not complete yet, and the moment is not over."""
        self.patience_s = 0.0
        """What is left of the time limit of the body after the moment."""

    def wait(self, missing: int) -> bool:
        """Leaves so much in the kernel, until that is complete. False: not this one, or not again."""
        if not self._tries or not self._body.promise(missing):
            return False
        self._tries -= 1
        self.left = missing
        self.waiting = self._wake_at(missing)
        if not self.waiting:
            self._body.withdraw()
        return self.waiting

    def complete(self) -> bool:
        """All of it is there, and can be read from there."""
        try:
            here = int.from_bytes(ioctl(self._sock.fileno(), FIONREAD, _NOTHING), sys.byteorder)
            if here < self.left:
                return False
            info = self._sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _RECEIVED.size)
        except OSError:
            return False
        if _RECEIVED.unpack(info)[0] > here * LOOSE:
            self._tries = 0
            return False
        return True

    def stop(self, for_good: bool = False) -> None:
        """What is there, and what comes, has to be received the ordinary way; `for_good`: to the end of the body."""
        self.waiting = False
        if not self._handed_over:
            self._body.withdraw()
        if for_good:
            self._tries = 0
        self._wake_at(1)

    def hand_over(self, claim: Callable[[], Claim | None]) -> None:
        """It is complete, and belongs to the request. `claim` gives the right to use the socket, in the request's thread."""
        self.waiting = False
        self._handed_over = True
        self._claim = claim
        self._peeked = -1
        # The loop shall hear of the next request, not of these bytes; but if no more comes, of nothing.
        self._wake_at(self.left + 1)
        self._body.end_with(self)

    def fetch(self, at: int, size: int) -> bytes:
        """For the application, see `wsgi.rest`."""
        # An interruption may come between any two byte codes (`interruption`).
        known, self._peeked = self._peeked, -1
        claim = self._claim()
        try:
            if at != known:
                self._sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, at)
            data = self._peek(size) if claim is None else claim.use(self._peek, size)
        except OSError as error:
            raise BodyError(400, f"the client has gone: {error.strerror or error}") from None
        # Behind the reading: the end may have come in between, from another thread.
        if self._ended:
            raise ValueError("wsgi.input was read after its request had ended")
        if not data:
            raise BodyError(400, "the client has gone")
        self._peeked = at + len(data)
        return data

    def _peek(self, size: int) -> bytes:
        return self._sock.recv(size, socket.MSG_PEEK)

    def end(self) -> None:
        """Nobody reads any more."""
        self._ended = True

    def finish(self) -> bool:
        """The response is out: the kernel may forget the body. False: the socket can serve no further request."""
        if not self._handed_over:
            return True
        self._ended = True
        try:
            while self.left:
                # MSG_TRUNC: dropped, not copied (tcp(7)).
                count = self._sock.recv_into(self._nowhere, self.left, socket.MSG_TRUNC)
                if not count:
                    return False
                self.left -= count
        except OSError:
            return False
        return self._wake_at(1)

    def _wake_at(self, count: int) -> bool:
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
        except OSError:
            return False
        return True
