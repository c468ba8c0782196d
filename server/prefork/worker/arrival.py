"""Since when a request waits for its turn.

Owns: the choice between two clocks. Runs in the worker, loop thread. Must not know: what is made of it.

Mostly a request is taken up in the turn of the loop that found it, and waits only for those that were found with it: it counts
from the moment at which the loop woke up. Where it may have come long before, the kernel is asked when the last bytes of the
connection arrived (TCP_INFO: about a microsecond, in steps of the kernel's tick): for the first request of a connection, if
connections may have stood in the queue of the listener; for one that stood behind another of its connection; and when the
loop was kept from looking. Unix sockets do not tell.
"""

from __future__ import annotations

import time
from typing import Protocol

from prefork.net.tcp_info import HasOptions, last_data_received_s

_CLOCK_MONOTONIC_COARSE = 6
"""include/uapi/linux/time.h; the module `time` has no name for it."""

TICK_S = time.clock_getres(_CLOCK_MONOTONIC_COARSE)
"""What the kernel's answers are rounded to: 1 to 10 ms. One tick may mean no time at all."""

WORTH_ASKING_S = max(0.001, TICK_S)
"""Time for which the loop did not look, from which on the kernel is asked. Its answer says nothing about less than a tick, and
would cost each request of a busy worker a tenth of its time: 64 connections make a turn of a millisecond."""


class Loop(Protocol):
    """What there is to know of it."""

    now: float
    """Monotonic seconds at which the present turn began."""


def arrived_s(sock: HasOptions, loop: Loop) -> float:
    """Monotonic seconds, for one that may have been here before the loop last looked; for others it is `loop.now`."""
    now = loop.now
    waited_s = last_data_received_s(sock)
    return now if waited_s <= TICK_S else min(time.monotonic() - waited_s, now)
