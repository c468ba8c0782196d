"""Very many clients at once, none of them polite, and what they cost a worker."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from support.deadline import eventually
from support.server import Server

DESCRIPTORS = 8192


def need_descriptors() -> None:
    """Raise this process's limit: what is started afterwards inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))


def open_descriptors(pid: int) -> int:
    """How many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - only the number


def resident_kib(pid: int) -> int:
    """Memory of a process that is its own, not shared with the zygote it was forked from, in KiB (proc_pid_smaps(5))."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:")):
            total += int(line.split()[1])
    return total


class Crowd:
    """Open sockets to one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        host, _, port = server.address.rpartition(":")
        self._target = (host, int(port))
        self.sockets: list[socket.socket] = []

    def join(
        self, count: int, first: bytes = b"", *, receive_buffer: int | None = None
    ) -> list[socket.socket]:
        """`count` more clients, each of which has sent `first` (as far as the server took it)."""
        joined = []
        for _ in range(count):
            sock = socket.socket()
            self.sockets.append(sock)
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(30)
            sock.connect(self._target)
            sock.setblocking(False)
            if first:
                self.say(sock, first)
            joined.append(sock)
        return joined

    @staticmethod
    def say(sock: socket.socket, data: bytes) -> int:
        """Sends what fits; a refusal in between is the server's right."""
        try:
            return sock.send(data)
        except (BlockingIOError, ConnectionResetError, BrokenPipeError):
            return 0

    def reset(self) -> None:
        """All leave without a word: RST instead of FIN (socket(7), SO_LINGER)."""
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


@contextlib.contextmanager
def crowd(server: Server) -> Iterator[Crowd]:
    """A crowd that is gone at the end."""
    made = Crowd(server)
    try:
        yield made
    finally:
        made.close()


def settled(value: Callable[[], int], what: str) -> int:
    """The value once it has not changed for a moment."""
    last: list[int] = []

    def quiet() -> bool:
        time.sleep(0.1)
        last.append(value())
        return len(last) > 3 and len(set(last[-3:])) == 1

    eventually(quiet, f"{what} that stays the same")
    return last[-1]


def wait_for_descriptors(pids: list[int], total: int, what: str) -> None:
    """Until these processes together have so many descriptors, or more."""
    eventually(lambda: sum(map(open_descriptors, pids)) >= total, what)


def wait_until_gone(pids: list[int], total: int) -> None:
    """Until these processes together have no more descriptors than that."""
    eventually(lambda: sum(map(open_descriptors, pids)) <= total, "the end of the crowd's connections")
