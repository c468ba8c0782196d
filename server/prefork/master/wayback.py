"""Whether a process that steps back to SCHED_IDLE could come back from there.

Owns: reading that from what the kernel says of this process. Runs in: master, cli. Must not know: who steps back, and when.

To leave SCHED_IDLE takes CAP_SYS_NICE or RLIMIT_NICE (sched_setscheduler(2)).
"""

from __future__ import annotations

import os
import resource

_CAP_SYS_NICE = 1 << 23
"""capability.h"""

_ALL_USERS = ["0", "0", "4294967295"]
"""What /proc/self/uid_map says outside of user namespaces (user_namespaces(7)); the kernel asks for a capability there."""


def has_way_back(status: str, uid_map: str, nice_limit: int, niceness: int, *, same_user: bool) -> bool:
    """Whether a process of ours that is put under SCHED_IDLE can be put back, by us.

    `status`, `uid_map`: /proc/self/status, /proc/self/uid_map. `nice_limit`: RLIMIT_NICE, which is 20 minus the lowest nice value
    (getrlimit(2)), and counts for processes of the `same_user` alone.
    """
    effective = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    may = bool(int(effective.split()[1], 16) & _CAP_SYS_NICE) and uid_map.split() == _ALL_USERS
    unlimited = nice_limit == resource.RLIM_INFINITY
    return may or (same_user and (unlimited or nice_limit >= 20 - niceness))


def way_back_from_here(same_user: bool) -> bool:
    """`has_way_back` for this process."""
    # Not by pathlib: a command asks before it has imported that.
    with open("/proc/self/status") as status, open("/proc/self/uid_map") as uid_map:
        return has_way_back(
            status.read(),
            uid_map.read(),
            resource.getrlimit(resource.RLIMIT_NICE)[0],
            os.getpriority(os.PRIO_PROCESS, 0),
            same_user=same_user,
        )
