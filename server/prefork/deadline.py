"""What an application may do about the time limits of its own request.

Owns: the public functions for that. Runs in: worker, in the thread that runs the application; anywhere else they do nothing,
so that the same code runs in a shell or a test. Must not know: how limits are enforced.
"""

from __future__ import annotations

from prefork.errors import RequestTimeout
from prefork.ipc.seat import here

__all__ = ["RequestTimeout", "extend"]


def extend(seconds: float) -> None:
    """Give the request that this thread runs so many seconds more before it counts as slow, late or stuck.

    Extensions add up. They move `[requests] slow` and `timeout` for this request alone, and only in the thread that prefork
    called the application in. Raises ValueError if `seconds` is negative.
    """
    if not seconds >= 0:
        raise ValueError(f"a deadline can only be moved to later, not by {seconds!r} seconds")
    here.seat.extend(int(min(seconds, _LONGEST_S) * 1_000_000_000))


_LONGEST_S = 366 * 86_400.0
"""More than any request takes, and far from what would overflow the field."""
