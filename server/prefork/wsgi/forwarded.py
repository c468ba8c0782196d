"""What trusted proxies say about the client in header fields: `Forwarded` (RFC 7239) and the `X-Forwarded-*` family.

Owns: reading these fields, and what they change in the environ. Pure. Runs in the worker, for connections of trusted peers
only; what anybody else sends stays in HTTP_* and changes nothing. Must not know: which peers are trusted.

Each proxy puts what it saw behind what it was given, so the last entry is our peer's own word. It names the node that
connected to the peer; is that node trusted too, then the entry before it is a trusted proxy's word as well, and so on. What
stands before the first node that is not trusted may be anybody's invention and is never looked at. What is malformed is no
word at all: reading ends there, with what is known by then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any, NamedTuple

from prefork.http.errors import ProtocolError
from prefork.http.target import decode_path
from prefork.http.tokens import OWS, is_host

Environ = dict[str, Any]
IsTrusted = Callable[[str], bool]
"""Of an IP address as text, or "unix"."""

MAX_HOPS = 32
"""So many entries are looked at, from the last one on. Nobody has a chain of so many proxies."""

LONGEST_ELEMENT = 1024
"""Of `Forwarded`: two names of 255 characters, two nodes, and room."""

_SCHEMES = {"http": "80", "https": "443"}
_is_port = re.compile(r"[1-9][0-9]{0,4}").fullmatch
_is_pair = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:\"([^\"\\]*)\"|([^\"\\\s]*))").fullmatch
_is_obfuscated = re.compile(r"_[A-Za-z0-9._-]+").fullmatch
_is_prefix = re.compile(r"(?:/[!$&-.0-;=@-Z\[\]^-~%_]+)+").fullmatch


class Node(NamedTuple):
    """A node of RFC 7239 section 6. An empty address: the proxy does not tell."""

    address: str
    port: str = ""


class Client(NamedTuple):
    """What is known about the client. Empty: nothing."""

    address: str = ""
    port: str = ""
    scheme: str = ""
    host: str = ""
    host_port: str = ""
    """X-Forwarded-Port: where the client connected to."""
    prefix: str = ""
    """X-Forwarded-Prefix: the part of the path that a proxy took away."""


def reader(headers: str, is_trusted: IsTrusted) -> Callable[[Environ], None] | None:
    """For `[proxy] headers`: the function that corrects the environ of a request of a trusted peer."""
    if headers == "none":
        return None
    read = read_forwarded if headers == "forwarded" else read_x_forwarded

    def correct(environ: Environ) -> None:
        client = read(environ, is_trusted)
        if client is not NOTHING:
            apply(environ, client)

    return correct


NOTHING = Client()


def read_x_forwarded(environ: Environ, is_trusted: IsTrusted) -> Client:
    """X-Forwarded-For, -Proto, -Host, -Port and -Prefix."""
    get = environ.get
    nodes: str = get("HTTP_X_FORWARDED_FOR", "")
    proto: str = get("HTTP_X_FORWARDED_PROTO", "")
    host: str = get("HTTP_X_FORWARDED_HOST", "")
    port: str = get("HTTP_X_FORWARDED_PORT", "")
    prefix: str = get("HTTP_X_FORWARDED_PREFIX", "")
    if not (nodes or proto or host or port or prefix):
        return NOTHING
    node, hops = Node(""), 1
    if nodes:
        node, hops = _walk(map(parse_node, reversed(nodes.rsplit(",", MAX_HOPS)[-MAX_HOPS:])), is_trusted)
        if not hops:
            return NOTHING
    return Client(
        node.address,
        node.port,
        _scheme(_entry(proto, hops)),
        _host(_entry(host, hops)),
        _port(_entry(port, hops)),
        _prefix(_entry(prefix, hops)),
    )


def read_forwarded(environ: Environ, is_trusted: IsTrusted) -> Client:
    """`Forwarded`."""
    field = environ.get("HTTP_FORWARDED", "")
    if not field:
        return NOTHING
    element: dict[str, str] = {}
    node = Node("")
    found = False
    for text in elements_from_the_right(field):
        parsed = parse_element(text)
        seen = Node("") if parsed is None else _node_of(parsed)
        if parsed is None or seen is None:
            break
        found = True
        element = parsed
        if not seen.address:
            break
        node = seen
        if not is_trusted(node.address):
            break
    if not found:
        return NOTHING
    return Client(node.address, node.port, _scheme(element.get("proto", "")), _host(element.get("host", "")))


# The pieces -------------------------------------------------------------------------------------------------------


def _walk(nodes: Iterable[Node | None], is_trusted: IsTrusted) -> tuple[Node, int]:
    """The client among `nodes` (ours first), and how many of them are the word of somebody trusted."""
    client, hops = Node(""), 0
    for node in nodes:
        if node is None:
            break
        hops += 1
        if not node.address:
            break
        client = node
        if not is_trusted(node.address):
            break
    return client, hops


def parse_node(text: str) -> Node | None:
    """A node as `Forwarded` and X-Forwarded-For write it, and some more forms that proxies use; None: malformed.

    1.2.3.4, 1.2.3.4:56, 2001:db8::1, [2001:db8::1], [2001:db8::1]:56; "unix:" (nginx behind a unix socket) has the address
    "unix"; "unknown" and "_hidden" (RFC 7239 sections 6.2 and 6.3) have none.
    """
    text = text.strip(OWS)
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and rest[0] != ":") or ":" not in host:
            return None
        port = rest[1:]
        if rest and not port:
            return None
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if host == "unix":
            return Node("unix")
        if not port or ":" in port:
            return None
    if port and _is_obfuscated(port):
        port = ""
    if port and not (_is_port(port) and int(port) <= 65535):
        return None
    if host.lower() == "unknown" or _is_obfuscated(host):
        return Node("")
    address = _address(host)
    return None if address is None else Node(address, port)


def _address(text: str) -> str | None:
    try:
        if ":" in text:
            return inet_ntop(AF_INET6, inet_pton(AF_INET6, text))
        inet_pton(AF_INET, text)
    except (OSError, ValueError):
        return None
    return text


def elements_from_the_right(field: str) -> Iterator[str]:
    """The elements of a `Forwarded` field, last first.

    From the right, because what a client sent stands on the left and may hold an odd quote, which read from the left would
    swallow what our proxy put behind it.
    """
    parts = field.rsplit(",", 4 * MAX_HOPS)[-4 * MAX_HOPS :]
    while parts:
        element = parts.pop()
        quotes = element.count('"')
        while quotes % 2 and parts and len(element) <= LONGEST_ELEMENT:
            part = parts.pop()
            quotes += part.count('"')
            element = f"{part},{element}"
        yield element


def parse_element(text: str) -> dict[str, str] | None:
    """The pairs of one element (RFC 7239 section 4), names in lower case; None: malformed."""
    pairs: dict[str, str] = {}
    if len(text) > LONGEST_ELEMENT:
        return None
    for piece in text.split(";"):
        piece = piece.strip(OWS)
        if not piece:
            continue
        match = _is_pair(piece)
        name = match[1].lower() if match else ""
        if match is None or name in pairs:
            return None
        pairs[name] = match[2] if match[2] is not None else match[3]
    return pairs or None


def _node_of(element: dict[str, str]) -> Node | None:
    return parse_node(element["for"]) if "for" in element else Node("")


def _entry(field: str, hops: int) -> str:
    """The entry that the outermost trusted proxy wrote: the `hops`-th from the right.

    A shorter list was replaced or handed on by some of the proxies, as most do with these fields: then its first entry.
    """
    if "," not in field:
        return field.strip(OWS)
    entries = field.rsplit(",", hops)
    return entries[-hops if len(entries) >= hops else 0].strip(OWS)


def _scheme(text: str) -> str:
    scheme = text.lower()
    return scheme if scheme in _SCHEMES else ""


def _host(text: str) -> str:
    return text if is_host(text) and text[:1] not in ("", ":") else ""


def _port(text: str) -> str:
    return text if _is_port(text) and int(text) <= 65535 else ""


def _prefix(text: str) -> str:
    prefix = text.rstrip("/")
    if not _is_prefix(prefix):
        return ""
    try:
        decoded = decode_path(prefix)
    except ProtocolError:
        return ""
    # Dots and empty segments would make it another path for whoever resolves it.
    return "" if {"", ".", ".."} & set(decoded[1:].split("/")) else decoded


# The result -------------------------------------------------------------------------------------------------------


def apply(environ: Environ, client: Client) -> None:
    """Make `environ` what it would be if the client had connected to us."""
    if client.address:
        environ["REMOTE_ADDR"] = "" if client.address == "unix" else client.address
        if client.port:
            environ["REMOTE_PORT"] = client.port
        else:
            environ.pop("REMOTE_PORT", None)
    if client.scheme:
        environ["wsgi.url_scheme"] = client.scheme
        if client.scheme == "https":
            environ["HTTPS"] = "on"
        else:
            environ.pop("HTTPS", None)
    if client.host or client.host_port:
        _apply_host(environ, client)
    elif client.scheme:
        # The default port of a host without one follows the scheme; a port that the client named stays.
        environ["SERVER_PORT"] = _port_of(environ.get("HTTP_HOST", "")) or _SCHEMES[client.scheme]
    if client.prefix:
        environ["SCRIPT_NAME"] = client.prefix


def _apply_host(environ: Environ, client: Client) -> None:
    host = client.host or environ.get("HTTP_HOST", "")
    default = _SCHEMES[environ["wsgi.url_scheme"]]
    port = _port_of(host)
    name = host.removesuffix(f":{port}")
    if client.host_port and client.host_port != port:
        port = client.host_port
        host = name if port == default else f"{name}:{port}"
    if name:
        environ["HTTP_HOST"] = host
        environ["SERVER_NAME"] = name[1:-1] if name.startswith("[") else name
    environ["SERVER_PORT"] = port or default


def _port_of(host: str) -> str:
    """The port in a host that has one."""
    _, colon, port = host.rpartition(":")
    return port if colon and port.isdecimal() else ""
