"""How long a test may wait: generous, and stretched on slow machines by `PREFORK_TEST_SLOWNESS`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

SLOWNESS = float(os.environ.get("PREFORK_TEST_SLOWNESS", "1"))
"""Factor on every waiting time: 10 on a machine ten times slower than usual."""

DEADLINE_S = 30.0
"""What one wait may take before the test is called failed, in seconds, before the factor."""


class Deadline:
    """A point in time after which waiting is a failure."""

    def __init__(self, seconds: float = DEADLINE_S) -> None:
        self._end = time.monotonic() + seconds * SLOWNESS

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.remaining() <= 0.0

    def pause(self) -> None:
        """Between two looks at something that nobody announces."""
        time.sleep(min(0.02, self.remaining()))


def eventually(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for what nobody announces (a file's content, a descriptor's end): look again and again."""
    deadline = Deadline(deadline_s)
    while not condition():
        assert not deadline.passed, f"no sign of {what} in time"
        time.sleep(0.01)
