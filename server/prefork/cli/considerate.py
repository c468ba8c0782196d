"""A planned operation waits behind the requests, with its command too.

Owns: which commands step back, and for how long, and how they end. Runs in: cli, before anything else is imported; and a program
that goes on where another has left off (upgrade) while it imports. Must not know: what the commands do.

A command's own start takes 60 ms of processor, beside workers that are woken a thousand times a second; the server does as much
for its own processes (`master/courtesy.py`). On a machine that has nothing to spare the command gets its share after `MOST_S`.
To take the interpreter apart would be 10 ms more, in one piece, for a process whose memory goes anyway.

Nothing is imported here that Python has not imported by itself, but for what tells whether there is a way back: `signal` alone
takes a third of what comes before.
"""

from __future__ import annotations

import os

from prefork.master.wayback import way_back_from_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

MOST_S = 0.3

PLANNED = frozenset({"reload", "recycle", "upgrade"})
"""Nobody is in a hurry with these. Whoever rolls back, or asks what is wrong, is."""


def step_back() -> Callable[[], None]:
    """Where there is a way back, until what is returned is called. For a process that does nothing else meanwhile."""
    if os.sched_getscheduler(0) != os.SCHED_OTHER or not way_back_from_here(True):
        return _stay
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        # A filter of system calls may forbid it, say.
        return _stay
    import signal

    signal.signal(signal.SIGALRM, _come_back)
    signal.setitimer(signal.ITIMER_REAL, MOST_S)

    def come_back() -> None:
        # While Python ends it has no handlers any more: then the signal would end the process with a code of its own.
        signal.setitimer(signal.ITIMER_REAL, 0)
        _come_back()

    return come_back


def leave(code: int) -> NoReturn:
    """End this process, which has no thread but this one, and has written out what it had to say."""
    os._exit(code)


def _stay() -> None:
    """It has not gone anywhere."""


def _come_back(*_signal: object) -> None:
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
