"""The threads of a worker and their seats on the scoreboard.

Owns: who sits where, and whether what they run can be interrupted. Runs in the worker. Must not know: HTTP, the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident

from prefork.ipc.scoreboard import map_row, seats_for
from prefork.ipc.seat import here
from prefork.worker.boot import WorkerBoot
from prefork.worker.interruption import Interruptions
from prefork.worker.takeover import Claim, Takeovers
from prefork.wsgi.context import WSGIApplication


class Seating:
    """The row of one worker."""

    def __init__(self, boot: WorkerBoot) -> None:
        row = map_row(boot.scoreboard, seats_for(boot.settings.workers.threads))
        self._seats = row.seats
        self.count_connections = row.count_connections
        # Without a limit nobody is ever interrupted, and no request pays for it.
        self._interruptions = Interruptions() if boot.settings.requests.timeout else None

    def watched(self, application: WSGIApplication) -> WSGIApplication:
        """`application`, so that it can be interrupted if it takes longer than `[requests] timeout`."""
        return application if self._interruptions is None else self._interruptions.watched(application)

    def take_main(self) -> None:
        """The calling thread, which is the main thread, runs the application."""
        self._take(0)
        if self._interruptions is not None:
            self._interruptions.add_main(self._seats[0])

    def take(self, index: int) -> None:
        """The calling thread is number `index` of a pool that runs the application."""
        self._take(index)
        if self._interruptions is not None:
            self._interruptions.add_thread(self._seats[index])

    def serve_pool(
        self, post: Callable[[Callable[[], None]], None], takeovers: Takeovers
    ) -> Callable[[int, Claim], None] | None:
        """The calling thread, which is the main thread, runs the loop beside a pool; `post` has it act between two callbacks.

        Returns what threads are to tell the step and the claim of each request they begin; None: there is no limit."""
        self._take(-1)
        if self._interruptions is None:
            return None
        self._interruptions.listen_for_threads(post, takeovers)
        return self._interruptions.began

    def _take(self, index: int) -> None:
        here.seat = self._seats[index]
        here.seat.sit(get_ident())
