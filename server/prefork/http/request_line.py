"""The request line: method, target, version.

Owns: RFC 9112 section 3. Runs in: worker. Must not know the fields.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from prefork.http.errors import ProtocolError, quoted
from prefork.http.target import is_plain_origin, split_target
from prefork.http.tokens import is_token

METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")
"""Methods that need no further look. Any other token goes to the application too, which knows its methods; the
exception is CONNECT (see `split_target`)."""

_METHODS = frozenset(METHODS)

_is_version = re.compile(r"HTTP/[0-9]\.[0-9]").fullmatch


class RequestHead(msgspec.Struct, gc=False):
    """What the server itself needs to know of a head; everything else is in the environ.

    A struct because it is made three times as fast as a class with `__init__`.
    """

    line: str
    """The request line: visible ASCII and two spaces, safe for a log."""
    method: str
    target: str
    """As received."""
    minor: int
    """0 or 1: the client speaks HTTP/1.0 or HTTP/1.1."""
    keep_alive: bool
    """The client allows a further request on this connection."""
    authority: str | None = None
    """Of an absolute target; it replaces `Host`."""
    content_length: int | None = None
    """None: no Content-Length field."""
    chunked: bool = False
    expect_continue: bool = False
    """The client waits for "100 Continue"."""


def read_request_line(line: str, environ: dict[str, Any]) -> RequestHead:
    """Read `line`, free of control characters other than HTAB, into `environ` and the beginning of a head.

    Raises ProtocolError (400, 501, 505).
    """
    try:
        # One SP each (RFC 9112 section 3); readers that split at any white space see other words.
        method, target, version = line.split(" ")
    except ValueError:
        raise ProtocolError(400, f"request line is not three words {quoted(line)}") from None
    minor = 1
    if version != "HTTP/1.1":
        minor, version = _read_version(version)
    authority = None
    if method in _METHODS and is_plain_origin(target):
        environ["PATH_INFO"], _, environ["QUERY_STRING"] = target.partition("?")
    else:
        if not is_token(method):
            raise ProtocolError(400, f"bad method {quoted(method)}")
        environ["PATH_INFO"], environ["QUERY_STRING"], authority = split_target(method, target)
    environ["REQUEST_METHOD"] = method
    environ["RAW_URI"] = environ["REQUEST_URI"] = target
    environ["SERVER_PROTOCOL"] = version
    # RFC 9112 section 9.3: without a Connection field the version decides.
    return RequestHead(line, method, target, minor, minor == 1, authority)


def _read_version(version: str) -> tuple[int, str]:
    """The minor version we speak with this client, and the name of the version.

    A higher minor version is treated as the highest we know (RFC 9110 section 2.5), another major version is 505
    (section 15.6.6); the preface of HTTP/2 is such a request line.
    """
    if version == "HTTP/1.0":
        return 0, version
    if not _is_version(version):
        raise ProtocolError(400, f"bad protocol version {quoted(version)}")
    if version[5] != "1":
        raise ProtocolError(505, f"protocol version {version}")
    return 1, "HTTP/1.1"
