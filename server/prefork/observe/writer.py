"""Whole lines to a descriptor, and never a wait or an error for the caller.

Owns: what happens when the other side of a log is full, slow or gone. Runs in: every process; several
processes write to one open file. Must not know: what a line says.

One `write(2)` for one or more whole lines: O_APPEND files place it whole after whatever other processes wrote (open(2)), pipes
take up to PIPE_BUF bytes whole (pipe(7)). A pipe nobody reads would block a write for ever, and its
O_NONBLOCK flag is not ours to set (it is shared with whoever else holds the other copies of stderr), so
room is asked for first.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator, Sequence

PATIENCE_S = 1.0
"""How long a line waits for a slow reader. When that was in vain, those after it do not wait until there is room."""

_PIPE_BUF = select.PIPE_BUF


class LineWriter:
    """Writes lines to `fd`, which it does not own: somebody else opened it and closes it."""

    __slots__ = ("_is_torn", "fd", "is_file", "lost")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.lost = 0
        """Lines lost since the last one that was written."""
        self.is_file = _is_regular_file(fd)
        """Lines of any length stay whole."""
        self._is_torn = False  # a full disk took the beginning of a line

    def write(self, line: bytes) -> bool:
        """Write `line` (with its newline) in one call. False: it was lost, and counted."""
        if self.is_file:
            return self._append(line, 1)
        try:
            if self._has_room():
                os.write(self.fd, _cut(line))
                self.lost = 0
                return True
        except (OSError, ValueError):
            # Closed pipe, EAGAIN of somebody's O_NONBLOCK: a log never stops a request.
            pass
        self.lost += 1
        return False

    def write_all(self, lines: Sequence[bytes]) -> bool:
        """Write `lines` in as few calls as keep each of them whole. False: some were lost, and counted."""
        if self.is_file:
            return self._append(b"".join(lines), len(lines))
        complete = True
        for count, group in _groups(lines):
            if not self.write(group):
                self.lost += count - 1
                complete = False
        return complete

    def _append(self, data: bytes, count: int) -> bool:
        """`data` are so many lines."""
        torn = self._is_torn
        if torn:
            data = b"\n" + data
        done = 0
        try:
            # More than once only at the end of a disk or quota (write(2)).
            while done < len(data):
                done += os.write(self.fd, data[done:] if done else data)
        except (OSError, ValueError):
            # A full disk never stops a request.
            written = data[:done]
            self.lost += count - max(0, written.count(b"\n") - torn)
            if done:
                self._is_torn = not written.endswith(b"\n")
            return False
        self.lost, self._is_torn = 0, False
        return True

    def _has_room(self) -> bool:
        # A poll object of its own: one object must not be used by two threads at once.
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(0 if self.lost else PATIENCE_S * 1000))


def _groups(lines: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    """As many lines together as a pipe takes whole, and how many."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) > _PIPE_BUF:
            yield len(group), b"".join(group)
            group, size = [], 0
        group.append(line)
        size += len(line)
    if group:
        yield len(group), b"".join(group)


def _cut(line: bytes) -> bytes:
    """A longer line would mingle with those of other processes, and could block although there was room."""
    return line if len(line) <= _PIPE_BUF else line[: _PIPE_BUF - 4] + b"...\n"


def _is_regular_file(fd: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False
