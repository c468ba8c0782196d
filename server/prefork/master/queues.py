"""How many connections wait to be accepted, at each address.

Owns: looking at the listeners' queues, and the longest that was seen. Runs in: master. Must not know: who asks, what is done
about a long queue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prefork.ipc.status import QueueStatus
from prefork.master.generations import Generations
from prefork.net.listeners import Listener


class ListenQueues:
    """Those of the listeners in force."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._highest: dict[str, int] = {}

    @property
    def highest(self) -> Mapping[str, int]:
        """The longest that was seen, by address."""
        return self._highest

    def restore(self, highest: Mapping[str, int]) -> None:
        """What `highest` was before an upgrade."""
        self._highest.update(highest)

    def look(self) -> list[QueueStatus]:
        """The queues now."""
        listeners = self._generations.in_force.listeners
        seen = [self._look_at(each) for each in listeners]
        self._forget_others(each.address for each in seen)
        return seen

    def _look_at(self, listener: Listener) -> QueueStatus:
        address = str(listener.address)
        queue = listener.queue()
        highest = self._highest[address] = max(self._highest.get(address, 0), queue.length)
        return QueueStatus(address=address, length=queue.length, highest=highest, limit=queue.limit)

    def _forget_others(self, addresses: Iterable[str]) -> None:
        kept = set(addresses)
        self._highest = {address: seen for address, seen in self._highest.items() if address in kept}
