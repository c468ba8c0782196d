"""Peers whose word about the client is taken.

Owns: whether an address is among those of `[proxy] trusted`. Pure but for what inet_pton(3) knows. Runs in: worker. Must not
know: headers, where an address came from.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from socket import AF_INET, AF_INET6, inet_pton

UNIX = "unix"
"""The word for all peers on unix sockets."""

_MAPPED = bytes(10) + b"\xff\xff"
"""The first 12 bytes of an IPv4 address that came through an IPv6 socket (RFC 4291 section 2.5.5.2)."""


class TrustedPeers:
    """A set of addresses, made of addresses, networks and the word "unix"."""

    __slots__ = ("_four", "_six", "_unix")

    def __init__(self, names: Iterable[str]) -> None:
        four: list[tuple[int, int]] = []
        six: list[tuple[int, int]] = []
        names = frozenset(names)
        for name in names - {UNIX}:
            network = ipaddress.ip_network(name)
            target = four if network.version == 4 else six
            target.append((int(network.network_address), int(network.netmask)))
        self._four, self._six = tuple(four), tuple(six)
        self._unix = UNIX in names

    def __bool__(self) -> bool:
        return bool(self._four or self._six or self._unix)

    def __contains__(self, address: str) -> bool:
        """`address` is an IP address as text, or "unix". What is no address is not trusted."""
        try:
            packed = inet_pton(AF_INET, address)
        except (OSError, ValueError):
            if address == UNIX:
                return self._unix
            try:
                # A scope ("%eth0") says through which door a link-local neighbour came, not who it is.
                packed = inet_pton(AF_INET6, address.partition("%")[0])
            except (OSError, ValueError):
                return False
            if not packed.startswith(_MAPPED):
                number = int.from_bytes(packed, "big")
                return any(number & mask == base for base, mask in self._six)
            packed = packed[12:]
        number = int.from_bytes(packed, "big")
        return any(number & mask == base for base, mask in self._four)

    def trusts(self, peer: object) -> bool:
        """`peer` is what accept(2) gave: (host, port, ...), or the name of a unix socket."""
        return (peer[0] if isinstance(peer, tuple) else UNIX) in self
