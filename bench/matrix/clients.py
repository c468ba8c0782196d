"""What every row needs: clients at work while something is broken, and the verdict on what they saw."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from matrix.servers import Server

Start = Callable[..., Server]
"""`start(Wish(...), before=...)`: a server that answers."""


@dataclass(frozen=True)
class Outcome:
    """What was measured, and whether it is what a site needs."""

    good: bool
    text: str


class Clients:
    """Three of them, one request after the other with 50 ms between: what each took, and how many failed."""

    def __init__(self, server: Server, count: int = 3, pace_s: float = 0.05) -> None:
        self._server = server
        self._pace_s = pace_s
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(count)
        self._futures = [self._pool.submit(self._work) for _ in range(count)]
        self.seconds: list[float] = []
        self.failed = 0

    def _work(self) -> None:
        while not self._stopping.wait(self._pace_s):
            begun = time.monotonic()
            status, _ = self._server.get(timeout_s=15.0)
            self.seconds.append(time.monotonic() - begun)
            self.failed += status != 200

    def stop(self) -> None:
        """No more requests."""
        self._stopping.set()
        for future in self._futures:
            future.result()
        self._pool.shutdown()

    @property
    def worst_s(self) -> float:
        """The longest request."""
        return max(self.seconds, default=0.0)

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def under_load(server: Server, do: Callable[[], object], after_s: float = 3.0) -> Clients:
    """Three clients at work, `do` after a moment, and what they saw of it."""
    with Clients(server) as clients:
        time.sleep(0.3)
        do()
        time.sleep(after_s)
    return clients


def survival(server: Server, clients: Clients, version: bytes = b"v1") -> Outcome:
    """Whether it answers, with which version, and whether it did so all the time."""
    status, body = server.get()
    if not server.runs:
        return Outcome(False, "**server gone**")
    if status != 200:
        share = round(100 * clients.failed / max(1, len(clients.seconds)))
        return Outcome(False, f"**no answers** ({share} % failed)")
    if clients.failed:
        return Outcome(False, f"{clients.failed} of {len(clients.seconds)} requests failed")
    return Outcome(body == version, f"survives, serves {body.decode()}")
