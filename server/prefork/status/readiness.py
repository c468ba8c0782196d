"""May a balancer send requests to this server?

Owns: that decision. Pure. Runs in: status process. Must not know: who asks.
"""

from __future__ import annotations

from prefork.ipc.status import Status

_SERVING = ("serving", "reloading", "rolling back")

_REASONS = {
    "starting": "starting: no worker accepts connections yet",
    "paused": "paused: `prefork resume` ends it",
    "draining": "draining: it serves on, and is about to stop",
    "stopping": "stopping",
}


def unready(status: Status) -> str | None:
    """Why not; None: it may."""
    if status.draining_since_s is not None:
        return f"{status.state} for {status.draining_since_s:.0f} s"
    if status.state not in _SERVING:
        return _REASONS.get(status.state, status.state)
    if any(worker.state == "accepting" for worker in status.workers):
        return None
    if status.workers_wanted == 0:
        # `count = {min = 0, ...}`: the first connection wakes one.
        return None
    return f"no worker accepts connections ({len(status.workers)} of {status.workers_wanted} are there)"
