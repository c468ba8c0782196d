"""The request target: its four forms, and the path and query that an application is given.

Owns: RFC 9112 section 3.2. Runs in: worker. Must not know the header fields; the caller lets the authority of an
absolute target replace `Host`.
"""

from __future__ import annotations

import re

from prefork.http.errors import ProtocolError, quoted
from prefork.http.tokens import is_host

_VISIBLE = r"!$&-;=@-~"
"""Visible ASCII without `"`, `#`, `<`, `>`, and without `%` and `?`, which the patterns below place.

RFC 9112 section 3.2: an invalid request line SHOULD be answered 400 and must not be repaired. RFC 3986 would exclude
\\ ^ ` { | } [ ] as well, but browsers send these unescaped (WHATWG URL, query percent-encode set) and no two readers
take them for different things, so they pass. No client sends a fragment, and every browser escapes `"`, `<` and `>`.
"""

is_plain_origin = re.compile(rf"/[{_VISIBLE}]*(?:\?[{_VISIBLE}?%]*)?").fullmatch
"""Origin form whose path needs no decoding: nearly every request. Without groups: `partition("?")` is faster."""

_is_target = re.compile(rf"[{_VISIBLE}?%]+").fullmatch
_is_scheme = re.compile(r"https?", re.IGNORECASE).fullmatch

_HEX = "0123456789ABCDEFabcdef"
_ESCAPES = {high + low: chr(int(high + low, 16)) for high in _HEX for low in _HEX if high + low != "00"}
"""The two digits behind "%" -> the character. NUL is left out: RFC 3986 section 7.3 has "%00" rejected where raw data
is not expected, and a path that ends early in somebody's C code is worse than a 400."""


def decode_path(path: str) -> str:
    """Percent-decode into a latin-1 native string, as PEP 3333 wants it.

    A "%" without two hexadecimal digits is refused: it is not a URI (RFC 3986 section 2.1), and readers that keep it,
    drop it or decode half of it see different paths. Raises ProtocolError (400).
    """
    if "%" not in path:
        return path
    first, *rest = path.split("%")
    try:
        return first + "".join([_ESCAPES[piece[:2]] + piece[2:] for piece in rest])
    except KeyError:
        raise ProtocolError(400, f"bad percent-escape in path {quoted(path)}") from None


def split_target(method: str, target: str) -> tuple[str, str, str | None]:
    """Take a target apart: the decoded path, the query as it came, the authority of an absolute target or None.

    The query is not looked into (PEP 3333 hands it over undecoded, and browsers do send a bare "%" there).
    Raises ProtocolError: 400, or 501 for CONNECT, which asks for a tunnel (RFC 9110 section 9.3.6).
    """
    if method == "CONNECT":
        raise ProtocolError(501, "CONNECT is for proxies")
    if not _is_target(target):
        raise ProtocolError(400, f"forbidden character in target {quoted(target)}")
    if target == "*":  # RFC 9112 section 3.2.4
        if method != "OPTIONS":
            raise ProtocolError(400, f"target * with method {quoted(method)}")
        return "*", "", None
    authority = None
    if target[0] != "/":
        target, authority = _split_absolute(target)
    path, _, query = target.partition("?")
    return decode_path(path), query, authority


def _split_absolute(target: str) -> tuple[str, str]:
    """Absolute form (RFC 9112 section 3.2.2): the origin form in it, and its authority."""
    scheme, separator, rest = target.partition("://")
    if not separator or not _is_scheme(scheme):
        raise ProtocolError(400, f"target is no path and no http(s) URI: {quoted(target)}")
    end = min(position for position in (rest.find("/"), rest.find("?"), len(rest)) if position >= 0)
    authority, origin = rest[:end], rest[end:]
    # An empty host MUST be rejected (RFC 9110 section 4.2.1); user information is an error (section 4.2.4): "@" is
    # not among the characters of a host.
    if not is_host(authority) or authority[:1] in ("", ":"):
        raise ProtocolError(400, f"bad authority in target {quoted(target)}")
    if not origin.startswith("/"):  # an empty path is "/" (RFC 9110 section 4.2.3)
        origin = "/" + origin
    return origin, authority
