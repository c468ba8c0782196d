"""Times as access logs write them.

Owns: Apache's form, RFC 3339, and that neither is made more than once a second. Runs in: worker. Must not know: their use.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SECOND_NS = 1_000_000_000

# Not strftime's %b: it follows the locale, which the application may set.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def clf_time(now_s: int) -> str:
    """Unix time as Apache writes it: `21/Nov/2026:11:17:12 +0000`, local time."""
    t = time.localtime(now_s)
    sign = "-" if t.tm_gmtoff < 0 else "+"
    hours, minutes = divmod(abs(t.tm_gmtoff) // 60, 60)
    return (
        f"{t.tm_mday:02d}/{_MONTHS[t.tm_mon - 1]}/{t.tm_year}:{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} "
        f"{sign}{hours:02d}{minutes:02d}"
    )


def utc_time(now_s: int) -> str:
    """Unix time to the second, without the zone: `2026-11-21T11:17:12`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_s))


def once_a_second(render: Callable[[int], str]) -> Callable[[int], str]:
    """`render` of nanoseconds, with a memory for the last second it was asked for."""
    last: tuple[int, str] = (-1, "")

    def remembered(now_ns: int) -> str:
        nonlocal last
        second, text = last
        now_s = now_ns // SECOND_NS
        if now_s != second:
            text = render(now_s)
            # One assignment: another thread sees the old pair or the new one.
            last = (now_s, text)
        return text

    return remembered
