"""How slow a client may be with a body, in either direction.

Owns: the one rule. A body (or a response under way) has a reserve of seconds, at most its time limit. It runs down; each byte
that moves puts `1 / min_rate` seconds back. So a client may pause for as long as the limit when it had filled the reserve, and
one byte now and then does not keep a connection for ever. Runs in the worker. Must not know: connections, HTTP, epoll.
"""

from __future__ import annotations

import sys
from fcntl import ioctl
from termios import TIOCOUTQ

_NOTHING = bytes(4)


def seconds_per_byte(min_rate: int) -> float:
    """What a byte puts back into the reserve; `min_rate` in bytes a second, 0: any byte fills it."""
    return 1 / min_rate if min_rate else float("inf")


def extended(deadline: float, now: float, limit_s: float, moved: int, s_per_byte: float) -> float:
    """The deadline after `moved` bytes (monotonic seconds)."""
    if moved <= 0:
        return deadline
    return min(now + limit_s, deadline + moved * s_per_byte)


def unread(fd: int) -> int:
    """Bytes that the kernel has of us and the client does not: not acknowledged (tcp(7)), or not read (unix(7)).

    Room in the socket is reported late, when a third of the queue is free (sk_stream_is_writeable); a client that takes all the
    time, but slowly, would be cut off if only that counted. 0 when the socket is gone.
    """
    try:
        return int.from_bytes(ioctl(fd, TIOCOUTQ, _NOTHING), sys.byteorder)
    except OSError:
        return 0
