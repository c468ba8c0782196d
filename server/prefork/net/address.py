"""Addresses to listen on, as text and as values.

Owns: the syntax. Pure. Runs in: master, worker, cli. Must not know: sockets, name servers, files.
"""

from __future__ import annotations

import ipaddress
import re

import msgspec

_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_LOOKS_LIKE_IPV4 = re.compile(r"[0-9.]+")
_EXAMPLES = 'write "127.0.0.1:8000", "[::1]:8000", "localhost:8000" or "unix:/run/app.sock"'


class TcpAddress(msgspec.Struct, frozen=True):
    """A host (a name, or an IP literal in its shortest form, no brackets) and a port (0: any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixAddress(msgspec.Struct, frozen=True):
    """The absolute path of a socket file; or `@name`, a name in Linux's abstract namespace (unix(7))."""

    path: str

    @property
    def is_abstract(self) -> bool:
        """There is no file: no mode, no owner, nothing to remove, every user may connect."""
        return self.path.startswith("@")

    def __str__(self) -> str:
        return f"unix:{self.path}"


def parse_address(text: str) -> TcpAddress | UnixAddress:
    """`text` as an address. Raises ValueError with one line that says what is wrong and what to write."""
    if text.startswith("unix:"):
        return _parse_unix(text)
    if "://" in text:
        raise ValueError(f"{text!r} is a URL, not an address: {_EXAMPLES}")
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"{text!r} lacks a port: {_EXAMPLES}")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(
            f"{text!r} has the port {port!r}: it must be a number from 0 (any free port) to 65535"
        )
    if host in ("", "*"):
        raise ValueError(
            f'{text!r} lacks a host: write "0.0.0.0:{port}" for every IPv4 address, "[::]:{port}" for every '
            f'IPv6 address, "127.0.0.1:{port}" for this machine only'
        )
    return TcpAddress(_parse_host(host, text), int(port))


def _parse_unix(text: str) -> UnixAddress:
    path = text.removeprefix("unix:")
    if not path.startswith(("/", "@")):
        raise ValueError(f'{text!r} must name an absolute path, like "unix:/run/app.sock"')
    if path == "@" or path.endswith("/"):
        raise ValueError(f"{text!r} lacks the name of the socket")
    if "\0" in path:
        raise ValueError(f"{text!r} must not contain a NUL")
    return UnixAddress(path)


def _parse_host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(f"{text!r} has no valid IPv6 address between its brackets") from None
    if ":" in host:
        raise ValueError(f'{text!r}: an IPv6 address goes in brackets, like "[::1]:8000"')
    if _LOOKS_LIKE_IPV4.fullmatch(host):
        # getaddrinfo would read "127.1" or "010.0.0.1" as an address nobody meant (inet_aton(3)).
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(f"{text!r} has no valid IPv4 address before its port") from None
    if len(host) > 253 or not _HOST_NAME.fullmatch(host.lower()):
        raise ValueError(f"{text!r} has no valid host before its port: {_EXAMPLES}")
    return host.lower()
