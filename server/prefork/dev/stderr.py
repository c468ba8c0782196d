"""`wsgi.errors` of a development server.

Owns: that it is what sys.stderr is when something is written. Runs in: the developer's process. Must not know: logs.
"""

from __future__ import annotations

import io
import sys


class ErrorOutput(io.TextIOBase):
    """Writes to sys.stderr, which test suites replace and close."""

    def writable(self) -> bool:
        """True: the stream is for writing only."""
        return True

    def write(self, text: str) -> int:
        """Writes and flushes."""
        sys.stderr.write(text)
        sys.stderr.flush()
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""
