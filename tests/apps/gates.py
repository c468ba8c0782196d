"""The application's side of `support.gate`: wait until the test opens a gate, and say so first."""

from __future__ import annotations

import os
import sys


def wait_at(path: str) -> None:
    """Announce `at the gate PATH` in the server's log, then block until the test lets one reader pass."""
    sys.stderr.write(f"at the gate {path}\n")
    sys.stderr.flush()
    fd = os.open(path, os.O_RDWR)
    try:
        os.read(fd, 1)
    finally:
        os.close(fd)
