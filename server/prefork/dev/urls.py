"""Addresses as something to click on.

Owns: their form. Runs in: a worker of `prefork --dev`. Must not know: sockets that listen.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "::": "[::1]"}


def urls(addresses: Iterable[str], *, secure: bool = False) -> list[str]:
    """For each address one, and for those that mean every interface also the machine's own in its network."""
    scheme = "https" if secure else "http"
    found: dict[str, None] = {}
    for address in addresses:
        if address.startswith("unix:"):
            found.setdefault(address)
            continue
        host, _, port = address.rpartition(":")
        found.setdefault(f"{scheme}://{_EVERYWHERE.get(host, host)}:{port}")
        if host in _EVERYWHERE and (outside := outside_address(host)):
            found.setdefault(f"{scheme}://{outside}:{port}")
    return list(found)


def outside_address(host: str) -> str | None:
    """How others in the network reach this machine: the address it would use itself. Nothing is sent (connect(2) on UDP)."""
    family, far = (socket.AF_INET, "192.0.2.1") if host == "0.0.0.0" else (socket.AF_INET6, "2001:db8::1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            found: str = probe.getsockname()[0]
    except OSError:
        return None
    return f"[{found}]" if family == socket.AF_INET6 else found
