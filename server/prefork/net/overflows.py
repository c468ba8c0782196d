"""How often the kernel has refused connections because a queue was full.

Owns: reading that counter (ListenOverflows in /proc/net/netstat, proc_net(5)). Runs in: master. Must not know: whose queue
it was: the kernel counts for the whole network namespace.
"""

from __future__ import annotations

from pathlib import Path

NETSTAT = Path("/proc/self/net/netstat")


def listen_overflows(path: Path = NETSTAT) -> int | None:
    """Since the machine started; None: the kernel does not tell."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names.startswith("TcpExt:"):
            found = dict(zip(names.split(), values.split(), strict=False))
            number = found.get("ListenOverflows", "")
            return int(number) if number.isdecimal() else None
    return None
