"""How long the queue of connections that wait for accept(2) really is.

Owns: the kernel's limit on it. Runs in: master. Must not know: sockets, logs.
"""

from __future__ import annotations

from pathlib import Path

SOMAXCONN = Path("/proc/sys/net/core/somaxconn")


def effective_backlog(backlog: int, limit_file: Path = SOMAXCONN) -> int:
    """What listen(2) makes of `backlog` without a word: at most net.core.somaxconn.

    Returns `backlog` where the limit cannot be read.
    """
    try:
        return min(backlog, int(limit_file.read_text()))
    except (OSError, ValueError):
        return backlog
