"""A gate between a test and an application in another process: a FIFO, so that neither has to poll or sleep.

The application blocks in `open(path).read()` until the test calls `open()`; see `tests/apps/gates.py`.
"""

from __future__ import annotations

import os
from pathlib import Path


class Gate:
    """Closed when made; `open()` lets every reader pass, those who wait and those who come later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # Held for reading and writing, so that opening never blocks on either side (fifo(7)).
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def open(self, passages: int = 1) -> None:
        """Let `passages` readers pass: each takes one byte."""
        os.write(self._fd, b"x" * passages)

    def close(self) -> None:
        os.close(self._fd)
