"""A worker that has answered enough requests asks to be replaced.

Owns: the count that is enough. Runs in the worker, loop thread. Must not know: what the master makes of it; the worker goes on
as before until it is told to drain.
"""

from __future__ import annotations

import random

from prefork.ipc.channel import Channel
from prefork.ipc.messages import WorkerWantsReplacement


class RequestQuota:
    """Tells the master once."""

    __slots__ = ("_channel", "_maximum", "_worker_id", "enough")

    def __init__(self, channel: Channel, worker_id: int, maximum: int, jitter: int) -> None:
        self._channel = channel
        self._worker_id = worker_id
        self._maximum = maximum
        self.enough = float("inf")
        if maximum:
            # Not the application's generator, whose seed may be the same in every worker.
            self.enough = maximum + random.SystemRandom().randint(0, jitter)

    def check(self, requests: int) -> None:
        """At the end of each turn: so many have been answered."""
        if requests >= self.enough:
            reason = f"max_requests = {self._maximum}"
            message = WorkerWantsReplacement(worker_id=self._worker_id, reason=reason)
            if self._channel.send(message):
                self.enough = float("inf")
