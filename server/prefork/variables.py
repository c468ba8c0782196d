"""Variables of the environment that are for the main process alone.

Owns: their names, and the environment of children without them. Runs in: master. Must not know: what they say (`systemd`).
Standard library only, and next to nothing of it: the first zygote is started before anything else is imported.
"""

from __future__ import annotations

import os

FROM_SYSTEMD = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "FDSTORE",
)
"""What systemd tells the main process alone."""

HANDOVER = "PREFORK_HANDOVER"
"""The number of the descriptor in which a master that executes another program leaves what it knows. Not an argument: `ps` would
show it for ever."""


def environment_for_children() -> dict[str, str]:
    """Ours, without what is for the main process alone."""
    return {name: value for name, value in os.environ.items() if name not in FROM_SYSTEMD}
