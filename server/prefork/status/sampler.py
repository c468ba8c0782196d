"""Asks the master once a second, for as long as somebody looks at the page and a few minutes longer.

Owns: when the history gets another status. Runs in: status process, a thread of its own. Must not know: what the history makes of
it. While nobody looks nothing wakes up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from prefork.status.history import History, Point
from prefork.status.source import Answer, Source

EVERY_S = 1.0

AFTERGLOW_S = 300.0
"""As long as the history reaches: whoever comes back meanwhile finds it complete."""


class Sampler:
    """One for the process."""

    def __init__(
        self,
        source: Source,
        history: History,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._history = history
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Condition()
        self._until = float("-inf")
        self._asked_at = float("-inf")

    def start(self) -> None:
        """Begin, in a thread."""
        threading.Thread(target=self._run, name="sampler", daemon=True).start()

    def look(self) -> None:
        """Somebody looks."""
        with self._lock:
            slept = self._until <= self._clock()
            self._until = self._clock() + AFTERGLOW_S
            if slept:
                self._lock.notify()

    def ask(self) -> Answer | None:
        """As `Source.ask`; the answer is not lost for the history."""
        answer = self._source.ask()
        if answer is not None:
            with self._lock:
                self._asked_at = self._clock()
                self._history.add(answer.status, self._wall_clock())
        return answer

    def points_since(self, wall_s: float) -> list[Point]:
        """Those after `wall_s`, oldest first."""
        with self._lock:
            return self._history.since(wall_s)

    def _run(self) -> None:
        while True:
            if self._wait():
                self.ask()

    def _wait(self) -> bool:
        """Until it is time; False: somebody else has asked meanwhile."""
        with self._lock:
            while self._until <= self._clock():
                self._lock.wait()
            self._lock.wait(EVERY_S)
            return self._clock() - self._asked_at >= EVERY_S / 2
