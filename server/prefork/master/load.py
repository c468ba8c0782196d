"""How busy the workers are, who waits, and whom the pool needs least.

Owns: the measurement. Runs in: master. Must not know: what is made of it (see `scaling`).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prefork.master.events import LoadMeasured
from prefork.master.generations import Generations
from prefork.master.state import Phase, Pool


class LoadMeter:
    """Reads the scoreboard and the listeners' queues."""

    def __init__(
        self, pool: Pool, generations: Generations, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._generations = generations
        self._clock = clock
        self._seen: dict[int, tuple[int, float]] = {}
        """Worker -> how many requests it had finished, and when it was last seen to do something."""

    def measure(self) -> LoadMeasured:
        """The load at this moment; draining workers count, for what they do somebody else would have to."""
        board = self._generations.board
        busy, now = 0.0, self._clock()
        seen: dict[int, tuple[int, float]] = {}
        for worker in self._pool.workers:
            seats, running = board.seats(worker), len(board.running(worker))
            busy += running / seats if seats else 0.0
            totals = board.totals_of(worker)
            requests = totals.requests if totals is not None else 0
            before, active_at = self._seen.get(worker, (requests, now))
            # Whatever it did since the last look, it did not long ago.
            seen[worker] = (requests, now if running or requests != before else active_at)
        self._seen = seen
        return LoadMeasured(busy, self.queue_length(), self._idlest(now))

    def queue_length(self) -> int:
        """Connections that wait to be accepted."""
        return sum(each.queue_length() for each in self._generations.in_force.listeners)

    def _idlest(self, now: float) -> int | None:
        """Of those idle for equally long the one with the highest number, so that numbers stay low."""
        idle = [
            (active_at, -worker.slot)
            for id, worker in self._pool.workers.items()
            if worker.phase is Phase.ACCEPTING and (active_at := self._seen[id][1]) < now
        ]
        return -min(idle)[1] if idle else None
