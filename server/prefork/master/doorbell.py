"""Wakes the master for the first connection after a rest.

Owns: waiting on the listeners, once. Runs in: master. Must not know: why the master rests.

The listeners' set is made anew for each rest: epoll keeps an entry for as long as any process has the socket (epoll(7), Q6),
so one for a listener that is closed here would ring for ever.
"""

from __future__ import annotations

import select
from collections.abc import Iterable

from prefork.master.links import Links


class Doorbell:
    """Armed or not."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._epoll: select.epoll | None = None

    @property
    def armed(self) -> bool:
        """It will ring."""
        return self._epoll is not None

    def arm(self, listeners: Iterable[int]) -> None:
        """Ring when somebody waits at one of these."""
        self.disarm()
        self._epoll = select.epoll()
        for fd in listeners:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
        self._links.watch(self._epoll)

    def disarm(self) -> None:
        """Wait for nothing."""
        if self._epoll is not None:
            self._links.unwatch(self._epoll)
            self._epoll.close()
            self._epoll = None

    def rings(self) -> bool:
        """Whether it does; then it is not armed any more."""
        if self._epoll is None or not self._epoll.poll(0):
            return False
        self.disarm()
        return True
