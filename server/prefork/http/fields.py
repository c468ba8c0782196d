"""The fields that the server itself obeys: framing, expectations, lists, repeats.

Owns: RFC 9112 sections 6.1 to 6.3, RFC 9110 sections 5.3, 8.6 and 10.1.1 for requests. Runs in: worker. Must not know
how a head was split into fields.
"""

from __future__ import annotations

from typing import Any

from prefork.http.errors import ProtocolError, quoted
from prefork.http.limits import MAX_CONTENT_LENGTH_DIGITS
from prefork.http.tokens import OWS

_SINGLE = frozenset({"HTTP_HOST", "CONTENT_LENGTH", "CONTENT_TYPE"})
"""Fields of which two readers could each believe another one."""


def combine(key: str, first: str, second: str) -> str:
    """The value of a field that came in two lines (RFC 9110 section 5.3). Raises ProtocolError (400)."""
    if key in _SINGLE:
        raise ProtocolError(400, f"{key} more than once")
    if key == "HTTP_COOKIE":
        # The one field whose lines are not joined by a comma (RFC 6265 section 5.4, RFC 9113 section 8.2.3).
        return f"{first}; {second}"
    return f"{first},{second}"


def _members(values: str) -> list[str]:
    """The members of a comma-separated list (RFC 9110 section 5.6.1), in lower case; empty ones are among them."""
    return [member.strip(OWS) for member in values.lower().split(",")]


def read_keep_alive(options: str, minor: int) -> bool:
    """Whether the connection may go on (RFC 9112 section 9.3): "close" wins, then 1.1, then "keep-alive"."""
    members = _members(options)
    return "close" not in members and (minor == 1 or "keep-alive" in members)


def read_framing(environ: dict[str, Any], minor: int) -> tuple[int | None, bool]:
    """How the body is delimited: (content length or None, chunked). Raises ProtocolError (400, 413, 501)."""
    length = environ.get("CONTENT_LENGTH")
    codings = environ.get("HTTP_TRANSFER_ENCODING")
    if codings is None:
        return _read_content_length(length), False
    if length is not None:
        # RFC 9112 section 6.1: MAY reject; section 6.3 item 3: "ought to be handled as an error".
        raise ProtocolError(400, "Content-Length beside Transfer-Encoding")
    if minor == 0:  # RFC 9112 section 6.1: MUST treat the framing as faulty
        raise ProtocolError(400, "Transfer-Encoding in HTTP/1.0")
    if codings.lower() != "chunked":
        _refuse_codings(codings)
    return None, True


def _read_content_length(length: Any) -> int:
    """One plain decimal (RFC 9110 section 8.6); the list form "5, 5" MAY be rejected and is."""
    # In latin-1 text only 0-9 are decimal (isdigit() would take superscripts).
    if not length.isdecimal():
        raise ProtocolError(400, f"bad Content-Length {quoted(length)}")
    if len(length) > MAX_CONTENT_LENGTH_DIGITS:
        raise ProtocolError(413, f"Content-Length of {len(length)} digits")
    return int(length)


def _refuse_codings(codings: str) -> None:
    """Anything but exactly "chunked" is refused; which status says why.

    RFC 9112 section 6.3 item 4: chunked is not the final coding, 400 (MUST; so "gzip" alone is 400 as well).
    Section 6.1: chunked applied twice is no valid message, 400. Section 7.1: parameters of chunked are an error, 400 by the
    first rule. Empty members are hiding places, 400. Only a sound list with codings we do not know is 501 (6.1).
    """
    members = _members(codings)
    if members[-1] != "chunked" or members.count("chunked") > 1 or "" in members:
        raise ProtocolError(400, f"bad Transfer-Encoding {quoted(codings)}")
    raise ProtocolError(501, f"unknown Transfer-Encoding {quoted(codings)}")


def read_expect(expectations: str, minor: int) -> bool:
    """Whether the client waits for "100 Continue" (RFC 9110 section 10.1.1).

    Other expectations MAY be answered 417, and are. In HTTP/1.0 100-continue MUST be ignored.
    Raises ProtocolError (417).
    """
    if set(_members(expectations)) != {"100-continue"}:
        raise ProtocolError(417, f"unknown Expect {quoted(expectations)}")
    return minor == 1
