"""Addresses as other servers spell them.

Owns: those spellings. Pure. Runs in: cli. Must not know: options.
"""

from __future__ import annotations

import ipaddress
import re

from prefork.migrate.draft import LOCAL, Draft, Given
from prefork.migrate.rows import words
from prefork.settings.addresses import parse_endpoint

_SYSTEMD = re.compile(r"fd://[0-9]+")


def endpoint(text: str, draft: Draft, port: int = 8000) -> str:
    """The address as `server.listen` has it. Raises ValueError.

    "host:port", ":port", "*:port", "host", "[IPv6]:port", "tcp://...", "unix:path", "unix://path", "/path", "@name", "fd://N".
    """
    text = text.strip().removeprefix("tcp://").removeprefix("http://").rstrip()
    if _SYSTEMD.fullmatch(text):
        return "systemd"
    if text.startswith(("unix:", "/", "@", "./")) or (":" not in text and "/" in text):
        path = re.sub(r"^unix:(//)?", "", text)
        address = f"unix:{path if path.startswith('@') else draft.path(path)}"
    else:
        address = _tcp(text, port)
    parse_endpoint(address, draft.world.output)
    return address


def _tcp(text: str, port: int) -> str:
    host, colon, number = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, number = text, str(port)
    if host in ("", "*"):
        host = "0.0.0.0"
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{number}"


def networks(value: object, *, local_unix: bool) -> list[str]:
    """Who is trusted, as `proxy.trusted` has it; "*" is everybody. Raises ValueError."""
    found: list[str] = []
    for word in words(value):
        if word == "*":
            return ["0.0.0.0/0", "::/0", "unix"]
        if word == "localhost":
            found += LOCAL
        else:
            try:
                found.append(
                    str(ipaddress.ip_network(word, strict=False))
                    if "/" in word
                    else str(ipaddress.ip_address(word))
                )
            except ValueError:
                raise ValueError(f'names "{word}", which is neither an address nor a network') from None
    return [*found, *(["unix"] if local_unix else [])]


def trust(value: object, given: Given, draft: Draft, *, local_unix: bool = False, above: str = "") -> None:
    """Believe these proxies."""
    for network in networks(value, local_unix=local_unix):
        draft.append("proxy.trusted", network, given, above=above)
        if network == "0.0.0.0/0":
            draft.different(
                given,
                "everybody is believed, whatever they write into X-Forwarded-For: name your proxies instead",
            )
