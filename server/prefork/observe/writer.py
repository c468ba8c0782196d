"""Whole lines to a descriptor, and never a wait or an error for the caller.

Owns: what happens when the other side of a log is full, slow or gone. Runs in: every process; several
processes write to one open file. Must not know: what a line says.

One `write(2)` a line: O_APPEND files place it whole after whatever other processes wrote (open(2)), pipes
take up to PIPE_BUF bytes whole (pipe(7)). A pipe nobody reads would block a write for ever, and its
O_NONBLOCK flag is not ours to set (it is shared with whoever else holds the other copies of stderr), so
room is asked for first.
"""

from __future__ import annotations

import os
import select
import stat

PATIENCE_S = 1.0
"""How long a line waits for a slow reader. When that was in vain, those after it do not wait until there is room."""


class LineWriter:
    """Writes lines to `fd`, which it does not own: somebody else opened it and closes it."""

    __slots__ = ("_is_file", "fd", "lost")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.lost = 0
        """Lines lost since the last one that was written."""
        self._is_file = _is_regular_file(fd)

    def write(self, line: bytes) -> bool:
        """Write `line` (with its newline) in one call. False: it was lost, and counted."""
        try:
            if self._is_file or self._has_room():
                os.write(self.fd, line if self._is_file else _cut(line))
                self.lost = 0
                return True
        except (OSError, ValueError):
            # Full disk, closed pipe, EAGAIN of somebody's O_NONBLOCK: a log never stops a request.
            pass
        self.lost += 1
        return False

    def _has_room(self) -> bool:
        # A poll object of its own: one object must not be used by two threads at once.
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(0 if self.lost else PATIENCE_S * 1000))


def _cut(line: bytes) -> bytes:
    """A longer line would mingle with those of other processes, and could block although there was room."""
    return line if len(line) <= select.PIPE_BUF else line[: select.PIPE_BUF - 4] + b"...\n"


def _is_regular_file(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False
