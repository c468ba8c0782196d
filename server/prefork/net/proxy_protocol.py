"""The PROXY protocol: who a proxy has at its other end, said once at the start of a connection.

Owns: reading the header, versions 1 and 2 (haproxy.org, "The PROXY protocol", sections 2.1 and 2.2). Sans-IO, pure. Runs in:
worker. Must not know: sockets, whether the sender may be believed.
"""

from __future__ import annotations

import re
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

import msgspec

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
"""Of version 2: no start of anything else a server may hear."""

LONGEST_V1 = 107
"""Bytes with the CRLF (section 2.1: "a 108-byte buffer is always enough" with a NUL)."""

LONGEST_V2 = 536
"""A sender makes the header fit the smallest TCP segment there is."""

Address = tuple[str, int]

_V1_START = b"PROXY "
# Compiled by `re` when the first is read: most servers never see one.
_V1 = rb"PROXY (TCP4|TCP6) ([0-9.]{7,15}|[0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) ([0-9]{1,5}) ([0-9]{1,5})"
_LOCAL, _PROXY = 0, 1
_UNSPEC, _INET, _INET6, _UNIX = 0, 1, 2, 3
_STREAM = 1
_UNIX_PATH = 108


class NoHeaderError(ValueError):
    """The connection does not begin with a header."""


class BadHeaderError(ValueError):
    """It begins like one, and is none."""


class Header(msgspec.Struct, frozen=True):
    """What a proxy said."""

    size: int
    """Bytes it took; what follows is the connection's own."""
    source: Address | str | None = None
    """The client: (host, port), or the path of its unix socket (mostly empty). None: the proxy speaks for itself, or does not
    know (LOCAL, UNKNOWN): the connection is what it looks like."""
    destination: Address | str | None = None
    """The address that the client connected to."""


def read_header(data: bytes) -> Header | None:
    """The header at the start of `data`; None: more is needed to tell. Raises NoHeaderError, BadHeaderError."""
    if data.startswith(SIGNATURE):
        return _read_v2(data)
    if data.startswith(_V1_START):
        return _read_v1(data)
    if SIGNATURE.startswith(data) or _V1_START.startswith(data):
        return None
    raise NoHeaderError("no PROXY header")


def _read_v1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, LONGEST_V1)
    if end < 0:
        if len(data) >= LONGEST_V1:
            raise BadHeaderError("PROXY header of version 1 without end")
        return None
    line = data[:end]
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        # "the receiver must ignore anything presented before the CRLF"
        return Header(end + 2)
    match = re.fullmatch(_V1, line)
    if match is None:
        raise BadHeaderError("malformed PROXY header of version 1")
    family, source, destination, source_port, destination_port = (
        part.decode("ascii") for part in match.groups()
    )
    version = 4 if family == "TCP4" else 6
    return Header(
        end + 2,
        (_host(source, version), _port(source_port)),
        (_host(destination, version), _port(destination_port)),
    )


def _host(text: str, version: int) -> str:
    kind = AF_INET if version == 4 else AF_INET6
    try:
        return inet_ntop(kind, inet_pton(kind, text))
    except OSError:
        raise BadHeaderError(f"no IPv{version} address in PROXY header of version 1") from None


def _port(text: str) -> int:
    if (text[0] == "0" and text != "0") or int(text) > 65535:
        raise BadHeaderError("no port in PROXY header of version 1")
    return int(text)


def _read_v2(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    version, command = divmod(data[12], 16)
    family, transport = divmod(data[13], 16)
    length = int.from_bytes(data[14:16], "big")
    size = 16 + length
    if version != 2 or command > _PROXY:
        raise BadHeaderError(f"PROXY header with version and command {data[12]:#04x}")
    if size > LONGEST_V2:
        raise BadHeaderError(f"PROXY header of {size} bytes")
    if family > _UNIX or transport > 2:
        raise BadHeaderError(f"PROXY header with family and transport {data[13]:#04x}")
    if len(data) < size:
        return None
    if command == _LOCAL or family == _UNSPEC or transport != _STREAM:
        return Header(size)
    block = data[16:size]
    needed = {_INET: 12, _INET6: 36, _UNIX: 2 * _UNIX_PATH}[family]
    if length < needed:
        raise BadHeaderError(f"PROXY header with {length} bytes of addresses")
    # Behind the addresses come TLVs, which say nothing that we use.
    if family == _UNIX:
        return Header(size, _path(block[:_UNIX_PATH]), _path(block[_UNIX_PATH:needed]))
    kind, width = (AF_INET, 4) if family == _INET else (AF_INET6, 16)
    ports = block[2 * width :]
    return Header(
        size,
        (inet_ntop(kind, block[:width]), int.from_bytes(ports[:2], "big")),
        (inet_ntop(kind, block[width : 2 * width]), int.from_bytes(ports[2:4], "big")),
    )


def _path(field: bytes) -> str:
    # An abstract name begins with a NUL (unix(7)).
    abstract = field.startswith(b"\0")
    name = field[abstract:].partition(b"\0")[0].decode("latin-1")
    return f"@{name}" if abstract and name else name
