"""How much processor time a process has used.

Owns: the measurement. Runs in: master, when somebody asks for a status. Must not know: what a worker is.

The kernel keeps a clock for each process (clock_getcpuclockid(3)): to the nanosecond, in one system call, readable by anybody.
What /proc/PID/stat says is the same number in steps of 10 ms.
"""

from __future__ import annotations

import ctypes
import time

_libc = ctypes.CDLL(None)


def cpu_s(pid: int) -> float | None:
    """Seconds, user and system, of all its threads; None if there is no such process, or no such clock."""
    clock = ctypes.c_int()
    if _libc.clock_getcpuclockid(ctypes.c_int(pid), ctypes.byref(clock)):
        return None
    try:
        return time.clock_gettime(clock.value)
    except OSError:
        return None
