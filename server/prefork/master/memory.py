"""How much memory a worker has of its own.

Owns: the measurement. Runs in: master. Must not know: limits, what is done about it.

What counts is what the end of the worker would give back: its unique set size (USS), for pages that it shares with its zygote
and its siblings stay. It costs the kernel a walk over the page tables (about 5 us for each MiB), so the resident set size,
which is at least as large and costs nothing, is asked first. The USS of another user's process is kept from a master
without CAP_SYS_PTRACE (ptrace(2), PTRACE_MODE_READ); then the resident set size has to do.
"""

from __future__ import annotations


def own_memory(pid: int, least: int) -> int | None:
    """Bytes; None if that is certainly less than `least`, or the process is gone."""
    import psutil  # only for whom memory is limited: it costs a start 11 ms

    try:
        process = psutil.Process(pid)
        resident = int(process.memory_info().rss)
        if resident < least:
            return None
        try:
            return int(process.memory_full_info().uss)
        except psutil.AccessDenied:
            return resident
    except psutil.Error:
        return None
