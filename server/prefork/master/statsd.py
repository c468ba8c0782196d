"""Pushing numbers to a statsd server, every `[statsd] interval`.

Owns: when, and the socket, which never makes the master wait. Runs in: master, which has the numbers, while the status
process may be off. Must not know: what is told (see `statsdlines`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable

from prefork.ipc.status import Status
from prefork.master.journal import Journal
from prefork.master.statsdlines import datagrams
from prefork.settings.statsd import StatsdSettings

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Statsd:
    """One for the server; does nothing while there is no address."""

    def __init__(
        self,
        settings: Callable[[], StatsdSettings],
        take: Callable[[], Status],
        log: Journal,
        clock: Callable[[], float],
        memory_of: Callable[[Iterable[int]], int] | None = None,
    ) -> None:
        """`settings` are those in force, `take` looks at the server, `clock` gives monotonic seconds."""
        self._settings = settings
        self._take = take
        self._log = log
        self._clock = clock
        self._memory_of = memory_of or resident_memory
        self._next = clock()
        self._last: Status | None = None
        self._fails = False

    @property
    def deadline(self) -> float | None:
        """When to call `turn` although nothing happens."""
        return self._next if self._settings().address else None

    def turn(self) -> None:
        """Push what is due."""
        settings = self._settings()
        now = self._clock()
        if not settings.address:
            self._last = None
            return
        if now < self._next:
            return
        # Not from the last time on: after a pause there is one push, not many.
        self._next = now + settings.interval
        status = self._take()
        memory = self._memory_of(worker.pid for worker in status.workers if worker.pid is not None)
        self._send(settings.address, datagrams(self._last, status, memory, settings.prefix, settings.tags))
        self._last = status

    def _send(self, address: str, data: Iterable[bytes]) -> None:
        family, where = _where(address)
        try:
            # A socket for each push: whoever listens at a path may have been started anew, and that is rare enough.
            with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                for datagram in data:
                    sock.sendto(datagram, where)
        except OSError as error:
            if not self._fails:
                self._log.warning("statsd_unreachable", address=address, error=error.strerror)
            self._fails = True
        else:
            self._fails = False


def _where(address: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        return socket.AF_UNIX, f"\0{path[1:]}" if path.startswith("@") else path
    host, _, port = address.rpartition(":")
    if host.startswith("["):
        return socket.AF_INET6, (host[1:-1], int(port))
    return socket.AF_INET, (host, int(port))


def resident_memory(pids: Iterable[int]) -> int:
    """Bytes that these processes have in memory (proc(5), statm): a number that the kernel keeps anyway."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm") as file:
                total += int(file.read().split()[1]) * _PAGE
        except (OSError, ValueError, IndexError):
            # It has just gone.
            continue
    return total
