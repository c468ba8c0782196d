"""Is it safe to fork this process? It looks at itself after the application was imported.

Owns: what makes a fork unsafe, and the words that tell the owner of the application what was found. Runs in: zygote.
Must not know: what is done about it (see `preload`).

Threads do not survive a fork, but the locks they hold do, locked for ever. A connection shared by all workers mixes the
answers one of them waits for into the streams of the others.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Mapping

import msgspec

from prefork.zygote.hygiene import open_descriptors


class Findings(msgspec.Struct, frozen=True):
    """What was found besides the one thread and the inherited descriptors."""

    threads: tuple[str, ...]
    sockets: tuple[str, ...]

    @property
    def safe(self) -> bool:
        """Nothing was found."""
        return not (self.threads or self.sockets)

    def __str__(self) -> str:
        parts = []
        if self.threads:
            parts.append(f"{len(self.threads)} thread(s): {', '.join(self.threads)}")
        if self.sockets:
            parts.append(f"{len(self.sockets)} socket(s): {', '.join(self.sockets)}")
        return "; ".join(parts)


def open_sockets() -> dict[int, int]:
    """Descriptor and inode of every open socket. The inode tells a socket from another that took its number."""
    found = {}
    for fd in open_descriptors():
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        if stat.S_ISSOCK(status.st_mode):
            found[fd] = status.st_ino
    return found


def datagram_sockets() -> dict[int, int]:
    """Those of `open_sockets` that carry datagrams."""
    found = {}
    for fd, inode in open_sockets().items():
        with socket.socket(fileno=os.dup(fd)) as sock:
            if sock.type == socket.SOCK_DGRAM:
                found[fd] = inode
    return found


def inspect_process(sockets_before: Mapping[int, int]) -> Findings:
    """Threads besides this one, and sockets that were not open before."""
    new = [fd for fd, inode in open_sockets().items() if sockets_before.get(fd) != inode]
    return Findings(other_threads(), tuple(_describe_socket(fd) for fd in new))


def other_threads() -> tuple[str, ...]:
    """Names of all threads but this one. The kernel's list, not Python's: C libraries start threads of their own."""
    mine = threading.get_native_id()
    python_names = {thread.native_id: thread.name for thread in threading.enumerate()}
    return tuple(
        python_names.get(thread) or f"{_native_name(thread)} (native)"
        for thread in _thread_ids()
        if thread != mine
    )


def _thread_ids() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc/self/task"))  # noqa: PTH208 - names, not paths


def _native_name(thread: int) -> str:
    try:
        with open(f"/proc/self/task/{thread}/comm") as file:
            return file.read().strip()
    except OSError:
        return str(thread)


def _describe_socket(fd: int) -> str:
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            try:
                return f"to {_address(sock.getpeername())}"
            except OSError:
                return f"at {_address(sock.getsockname())}"
    except OSError:
        return f"descriptor {fd}"


def _address(address: object) -> str:
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    if isinstance(address, bytes):
        return "unix:@" + address[1:].decode("utf-8", "replace")
    return f"unix:{address}" if address else "an unnamed unix socket"
