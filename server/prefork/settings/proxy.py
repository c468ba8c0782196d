"""Table `[proxy]`: whom to believe about the client.

Owns: the form of networks. Runs in: every process (as values). Must not know: headers.
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

import ipaddress
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from prefork.settings.kinds.lists import TextList
from prefork.settings.kinds.text import OneOf
from prefork.settings.listen import Listen

UNIX = "unix"
"""Stands for every peer on a unix socket: who may connect, the permissions of its file say."""

_RULE = 'must be an IP address, a network such as "10.0.0.0/8", or "unix"'


def _network(text: str) -> str:
    if text == UNIX:
        return text
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(_RULE) from None
    if network.num_addresses > 1 and str(network.network_address) != str(ipaddress.ip_interface(text).ip):
        raise ValueError(f'must not have bits behind its prefix; did you mean "{network}"?')
    return str(network.network_address) if network.num_addresses == 1 else str(network)


class ProxySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[proxy]`."""

    trusted: Annotated[
        tuple[str, ...],
        TextList(_network, '["127.0.0.1", "10.0.0.0/8", "unix"]'),
        Meta(
            description='Proxies whose word about the client is taken: addresses, networks, and "unix" for whoever connects '
            "to a unix socket. What anybody else says about it changes nothing."
        ),
    ] = ()
    headers: Annotated[
        Literal["x-forwarded", "forwarded", "none"],
        OneOf(("x-forwarded", "forwarded", "none")),
        Meta(
            description='What they tell it with: "x-forwarded" is X-Forwarded-For, -Proto, -Host, -Port and -Prefix, '
            '"forwarded" is the field of RFC 7239. Proxies must set or remove them, never pass on what a client sent.'
        ),
    ] = "x-forwarded"


def trusted_needed(listen: tuple[Listen, ...], trusted: tuple[str, ...]) -> str | None:
    """What `server.listen` breaks."""
    entry = next((entry for entry in listen if entry.proxy_protocol != "off"), None)
    if entry is not None and not trusted:
        return (
            f'takes the PROXY protocol on "{entry.address}", but [proxy] trusted names nobody who may send it'
        )
    return None
