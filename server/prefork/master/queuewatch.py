"""Tells when more clients wait to be accepted than the kernel keeps for us.

Owns: when to look at the queues, and telling about a full one without a flood. Runs in: master. Must not know: how queues are
read (see `queues`), workers.

Nothing is woken up for this: the queues are looked at when the master is awake for another reason, which it is at least every
`[requests] slow` seconds and whenever somebody asks for a status; and every second from the moment at which anybody waits. What
happened in between shows in the kernel's count of refusals, which is read while somebody waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from prefork.ipc.status import QueueStatus

EVERY_S = 1.0
"""While somebody waits."""

AT_MOST_EVERY_S = 0.2

TELL_EVERY_S = 60.0
"""About each address."""

_HINT = (
    "clients come faster than they are served: more workers or threads ([workers]), or faster requests; [requests] queue_timeout "
    "turns away who waited too long; a longer queue ([server] backlog, net.core.somaxconn) only lets them wait"
)


class Queues(Protocol):
    """Reads them."""

    def look(self) -> list[QueueStatus]:
        """As they are now."""


class Log(Protocol):
    """Where it is told."""

    def warning(self, event: str, /, **fields: object) -> None:
        """One line."""


class QueueWatch:
    """One for the server; `turn` in each turn of the master's loop."""

    def __init__(
        self,
        queues: Queues,
        log: Log,
        overflows: Callable[[], int | None],
        clock: Callable[[], float],
    ) -> None:
        """`overflows`: how often the kernel has refused somebody so far."""
        self._queues = queues
        self._log = log
        self._overflows = overflows
        self._clock = clock
        self._refused_before = overflows()
        self._not_before = float("-inf")
        self._told: dict[str, float] = {}
        self.deadline: float | None = None
        """When to call `turn` although nothing happens; None: never."""

    def turn(self) -> None:
        """Look, if it is time to."""
        now = self._clock()
        if now < self._not_before:
            return
        self._not_before = now + AT_MOST_EVERY_S
        waiting = [queue for queue in self._queues.look() if queue.length]
        self.deadline = now + EVERY_S if waiting else None
        if not waiting:
            return
        refused = self._newly_refused()
        for queue in waiting:
            # The count is of TCP.
            of_tcp = 0 if queue.address.startswith("unix:") else refused
            if of_tcp or (queue.limit and queue.length >= queue.limit):
                self._tell(queue, of_tcp, now)

    def _newly_refused(self) -> int:
        before, self._refused_before = self._refused_before, self._overflows()
        if before is None or self._refused_before is None:
            return 0
        return max(self._refused_before - before, 0)

    def _tell(self, queue: QueueStatus, refused: int, now: float) -> None:
        if now < self._told.get(queue.address, float("-inf")) + TELL_EVERY_S:
            return
        self._told[queue.address] = now
        self._log.warning(
            "listen_queue_full",
            address=queue.address,
            waiting=queue.length,
            limit=queue.limit or None,
            # Of all listeners in this network namespace: there is no count for one.
            refused_in_namespace=refused or None,
            hint=_HINT,
        )
