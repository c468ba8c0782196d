"""The memory of the workers, measured when somebody wants to know, and not too often.

Owns: how old a measurement may be. Any thread may ask; one measures, the others take what there was before. Runs in: status
process. Must not know: who wants to know.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from prefork.observe.memory import Memory, measure

KEPT_S = 2.0

SHARE = 0.02
"""Of the time goes to measuring, at most: the kernel walks over all pages of a process for it."""


class Memories:
    """By pid."""

    def __init__(
        self, clock: Callable[[], float], measure_one: Callable[[int], Memory | None] = measure
    ) -> None:
        self._clock = clock
        self._measure = measure_one
        self._lock = threading.Lock()
        self._found: dict[int, Memory | None] = {}
        self._good_until = float("-inf")

    def of(self, pids: Iterable[int]) -> dict[int, Memory | None]:
        """What is known of each of them; None: nothing."""
        wanted = list(pids)
        if not self._is_good_for(wanted) and self._lock.acquire(blocking=not self._found):
            try:
                if not self._is_good_for(wanted):
                    began = self._clock()
                    self._found = {pid: self._measure(pid) for pid in wanted}
                    ended = self._clock()
                    self._good_until = ended + max(KEPT_S, (ended - began) / SHARE)
            finally:
                self._lock.release()
        found = self._found
        return {pid: found.get(pid) for pid in wanted}

    def _is_good_for(self, pids: list[int]) -> bool:
        return self._clock() < self._good_until and all(pid in self._found for pid in pids)
