"""A planned operation waits behind the requests, with its command too.

Owns: which commands step back, and for how long. Runs in: cli, before anything else is imported; and a program that goes on where
another has left off (upgrade) while it imports. Must not know: what the commands do.

A command's own start takes 60 ms of processor, beside workers that are woken a thousand times a second; the server does as much
for its own processes (`master/courtesy.py`). On a machine that has nothing to spare the command gets its share after `MOST_S`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefork.master.wayback import way_back_from_here

MOST_S = 0.3

PLANNED = frozenset({"reload", "recycle", "upgrade"})
"""Nobody is in a hurry with these. Whoever rolls back, or asks what is wrong, is."""


@contextmanager
def stepped_back() -> Iterator[None]:
    """Within, where there is a way back. For a process that does nothing else meanwhile."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER or not way_back_from_here(True):
        yield
        return
    signal.signal(signal.SIGALRM, _come_back)
    # A filter of system calls may forbid it, say.
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        signal.setitimer(signal.ITIMER_REAL, MOST_S)
    try:
        yield
    finally:
        # While Python ends it has no handlers any more: then the signal would end the process with a code of its own.
        signal.setitimer(signal.ITIMER_REAL, 0)
        _come_back()


def _come_back(*_signal: object) -> None:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
