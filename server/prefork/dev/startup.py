"""What a development server says when it starts.

Owns: the lines, with addresses that a terminal makes links of. Runs in: the developer's process. Must not know: how it serves.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

WARNING = "Development server: one machine, one developer. For users, serve it with: prefork MODULE:APP"

ALL = {"": 4, "0.0.0.0": 4, "::": 6}
"""Hosts that stand for every address of one family."""


def startup_lines(host: str, port: int, scheme: str, addresses: Iterable[str], path: str = "") -> list[str]:
    """`host` as it was asked for, `path` of a unix socket, `addresses` of this machine (for a host that stands for all)."""
    if path:
        return [WARNING, f" * Running on unix://{path}"]
    family = ALL.get(host)
    if family is None:
        return [WARNING, f" * Running on {url(scheme, host, port)}"]
    lines = [WARNING, f" * Running on all addresses ({host or '0.0.0.0'})"]
    return [*lines, *(f" * Running on {url(scheme, each, port)}" for each in _reachable(addresses, family))]


def url(scheme: str, host: str, port: int) -> str:
    """ "http://127.0.0.1:5000", "https://[::1]:5000"; the port that goes without saying is left out."""
    name = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{name}" if port == usual else f"{scheme}://{name}:{port}"


def _reachable(addresses: Iterable[str], family: int) -> list[str]:
    """Those of one family that a browser can be pointed to: this machine first, then those that others may reach."""
    found = []
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        # A link-local address of IPv6 needs a scope, which no browser takes (RFC 6874 is withdrawn in practice).
        if address.version == family and not (family == 6 and address.is_link_local):
            found.append(address)
    unique = sorted(set(found), key=lambda address: (not address.is_loopback, int(address)))
    return [str(address) for address in unique]


def own_addresses() -> list[str]:
    """All addresses of this machine's interfaces."""
    import psutil

    families = (socket.AF_INET, socket.AF_INET6)
    return [
        each.address for found in psutil.net_if_addrs().values() for each in found if each.family in families
    ]
