"""Addresses to listen on, as far as their text goes.

Owns: the form of an address, and when two of them are the same one. Runs in: cli, master. Must not know:
sockets, name resolution (see `prefork.net`).
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

from prefork.settings.kinds.paths import absolute
from prefork.settings.kinds.text import checked_text

ADDRESS_RULE = 'must be "host:port", "[IPv6 address]:port" or "unix:path", such as "127.0.0.1:8000"'

LONGEST_UNIX_PATH = 107
"""Bytes of a socket's path: sun_path has 108 with the NUL at its end (unix(7))."""

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_WILDCARDS = {"0.0.0.0": 4, "::": 6}


class Endpoint(msgspec.Struct, frozen=True):
    """One address; `str()` is how it is kept in the settings and shown."""

    host: str = ""
    """Empty for a unix socket; an IPv6 address is without brackets."""
    port: int = 0
    path: str = ""
    """Absolute, or "@name" (abstract: no file, unix(7)); empty for TCP."""

    @property
    def is_unix(self) -> bool:
        return bool(self.path)

    @property
    def has_file(self) -> bool:
        return self.path.startswith("/")

    def __str__(self) -> str:
        if self.is_unix:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def collides_with(self, other: Endpoint) -> bool:
        """True if the kernel would refuse to bind both. (Port 0 means any free one, and never collides.)"""
        if self.is_unix or other.is_unix:
            return self.path == other.path
        if self.port != other.port or self.port == 0:
            return False
        families = {_family(self.host), _family(other.host)}
        wildcard = self.host in _WILDCARDS or other.host in _WILDCARDS
        return self.host == other.host or (wildcard and len(families) == 1)


def parse_endpoint(value: object, directory: str) -> Endpoint:
    """The address named by `value`; `unix:` paths start in `directory`. Raises `ValueError` with the rule."""
    text = checked_text(value)
    if text.startswith("unix:"):
        return _unix_endpoint(text.removeprefix("unix:"), directory)
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch("[0-9]{1,5}", port):
        raise ValueError(ADDRESS_RULE)
    if int(port) > 65535:
        raise ValueError("must have a port from 0 to 65535")
    return Endpoint(host=_host(host), port=int(port))


def _unix_endpoint(path: str, directory: str) -> Endpoint:
    is_name = path.startswith("@")
    is_file = path != "" and not path.endswith("/")
    if is_file and not is_name:
        # "unix:///run/x" as in URLs; a path that starts with two slashes would keep both (POSIX 4.13).
        path = absolute(f"/{path.lstrip('/')}" if path.startswith("/") else path, directory)
    if not is_file or path in ("@", "/"):
        raise ValueError('must name a socket file, such as "unix:/run/shop.sock"')
    length = len(path.encode())
    if length > LONGEST_UNIX_PATH:
        raise ValueError(f"must have a path of at most {LONGEST_UNIX_PATH} bytes, this one has {length}")
    return Endpoint(path=path)


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        try:
            return ipaddress.IPv6Address(text[1:-1]).compressed
        except ValueError:
            raise ValueError("must have an IPv6 address in its brackets") from None
    if ":" in text and _family(text) == 6:
        raise ValueError(f'must have the IPv6 address in brackets: "[{text}]:port"')
    if text in ("", "*"):
        raise ValueError('must name a host: "0.0.0.0:port" is every IPv4 address, "[::]:port" every IPv6 one')
    if _family(text) == 4:
        return text
    if re.fullmatch(r"[0-9.]+", text):
        raise ValueError("must have four numbers from 0 to 255 in its IPv4 address")
    name = text.lower()
    if len(name) > 253 or not all(re.fullmatch(_LABEL, label) for label in name.removesuffix(".").split(".")):
        raise ValueError(ADDRESS_RULE)
    return name


def _family(host: str) -> int:
    """4 or 6 for an IP address, 0 for a name."""
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 0
