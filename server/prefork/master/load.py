"""How busy the workers are, and who waits.

Owns: the measurement. Runs in: master. Must not know: what is made of it (see `scaling`).
"""

from __future__ import annotations

from prefork.master.events import LoadMeasured
from prefork.master.generations import Generations
from prefork.master.state import Pool


class LoadMeter:
    """Reads the scoreboard and the listeners' queues."""

    def __init__(self, pool: Pool, generations: Generations) -> None:
        self._pool = pool
        self._generations = generations

    def measure(self) -> LoadMeasured:
        """The load at this moment; draining workers count, for what they do somebody else would have to."""
        board = self._generations.board
        busy = 0.0
        for worker in self._pool.workers:
            seats = board.seats(worker)
            busy += len(board.running(worker)) / seats if seats else 0.0
        return LoadMeasured(busy, self.queue_length())

    def queue_length(self) -> int:
        """Connections that wait to be accepted."""
        return sum(each.queue_length() for each in self._generations.in_force.listeners)
