"""Python stacks of processes that crashed or hang, as faulthandler wrote them into shared memory.

Owns: the memfd, and what of such a text is worth showing. Runs in: master. Must not know: who wrote it, and why.
"""

from __future__ import annotations

import os
import re

_NOISE = re.compile(
    r'  File "(<frozen importlib|<string>|[^"]*/importlib/__init__\.py"|[^"]*/prefork/(zygote|worker|wsgi)/)'
    r'|  File "[^"]*/threading\.py", line \d+ in (run|_bootstrap|_bootstrap_inner)$'  # how every thread begins
    r"|Extension modules: |^$"
)

_THREAD = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)")

_LONGEST = 1 << 20
"""faulthandler writes up to 100 threads of 100 frames each."""

_LONGEST_LOGGED = 64 * 1024


class Stacks:
    """A memfd that all processes of one generation share."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def create(cls) -> Stacks:
        """An empty one."""
        return cls(os.memfd_create("prefork-stacks"))

    def take(self) -> str:
        """What was written since the last call, without frames of prefork's and of the import system."""
        text = self.take_all()[:_LONGEST_LOGGED]
        return "\n".join(line for line in text.splitlines() if not _NOISE.match(line))

    def take_all(self) -> str:
        """What was written since the last call."""
        text = os.pread(self.fd, _LONGEST, 0).decode("utf-8", "replace")
        if text:
            # Writers share the offset of the open file description: they go on at the start (open(2)).
            os.lseek(self.fd, 0, os.SEEK_SET)
            os.ftruncate(self.fd, 0)
        return text

    @property
    def size(self) -> int:
        """How much has been written since the last call of `take`."""
        return os.fstat(self.fd).st_size

    def close(self) -> None:
        """Close this process's copy. May be called again."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def stack_of_thread(text: str, thread: int) -> str:
    """The frames of the thread with this ident, innermost first, without prefork's own; empty if it is not there."""
    frames: list[str] = []
    found = False
    for line in text.splitlines():
        heading = _THREAD.match(line)
        if heading is not None:
            found = int(heading[1], 16) == thread
        elif found and not _NOISE.match(line):
            frames.append(line)
    return "\n".join(frames)
