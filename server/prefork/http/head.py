"""The head of a request: request line and fields, read in one pass into a WSGI environ.

Owns: RFC 9112 sections 2 to 6 as far as they concern a head. Runs in: worker. Must not know connections or bodies.

This is the hottest code of the server. Measured: one decode, one `split`, one `partition` a line and a table of names
beat a parser object, callbacks and regular expressions over the whole head; the control characters of the whole
head are found by one `bytes.translate`. `_speedups.c` does the common case again, and calls the functions below for
every other: a rule is written here, never there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefork.http.classes import CLASSES
from prefork.http.errors import ProtocolError, quoted
from prefork.http.fields import combine, read_expect, read_framing, read_keep_alive
from prefork.http.limits import Limits
from prefork.http.names import KEYS, key_of
from prefork.http.request_line import METHODS, RequestHead, read_request_line
from prefork.http.tokens import ALL_BYTES, CONTROLS, OWS, is_host
from prefork.speedups import speedups


def parse_head_in_python(block: bytes, limits: Limits, environ: dict[str, Any]) -> RequestHead:
    """Read `block`, a head without its final CRLF CRLF, and write it into `environ`.

    Sets REQUEST_METHOD, PATH_INFO, QUERY_STRING, RAW_URI, REQUEST_URI, SERVER_PROTOCOL, CONTENT_TYPE,
    CONTENT_LENGTH and HTTP_*; `environ` must hold none of the last three kinds. After an error it holds rubbish.
    Raises ProtocolError (400, 413, 414, 417, 431, 501, 505).
    """
    lines = block.decode("latin-1").split("\r\n")
    # Every CR and LF belongs to one of the line ends we split at, and there is no other control character: bare
    # CR and bare LF (RFC 9112 section 2.2), NUL and the rest (RFC 9110 section 5.5) all break this sum.
    if len(block.translate(ALL_BYTES, CONTROLS)) + 2 * len(lines) - 2 != len(block):
        raise ProtocolError(400, "control character, bare CR or bare LF in the head")
    line = lines.pop(0)
    if len(line) > limits.max_request_line:
        raise ProtocolError(414, f"request line of {len(line)} bytes")
    if len(block) - len(line) > limits.max_header_bytes:
        raise ProtocolError(431, f"fields of {len(block) - len(line)} bytes")
    if len(lines) > limits.max_headers:
        raise ProtocolError(431, f"{len(lines)} fields")

    head = read_request_line(line, environ)
    known = KEYS.get
    for field in lines:
        name, separator, value = field.partition(": ")
        key = known(name)
        if not (key and separator) or key in environ:
            _read_unusual_field(field, environ)
        else:
            environ[key] = value.strip(OWS)
    obey_fields(head, environ)
    return head


def obey_fields(head: RequestHead, environ: dict[str, Any]) -> None:
    """The fields that the server itself obeys: into `head`, and the authority of an absolute target into `environ`."""
    host = environ.get("HTTP_HOST")
    if host is None:
        if head.minor:  # RFC 9112 section 3.2: MUST answer 400
            raise ProtocolError(400, "no Host field")
    elif not is_host(host):
        raise ProtocolError(400, f"bad Host {quoted(host)}")
    if head.authority is not None:  # RFC 9112 section 3.2.2: MUST ignore the received Host
        environ["HTTP_HOST"] = head.authority

    if "HTTP_CONNECTION" in environ:
        options = environ["HTTP_CONNECTION"]
        head.keep_alive = options == "keep-alive" or read_keep_alive(options, head.minor)
    if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
        head.content_length, head.chunked = read_framing(environ, head.minor)
    if "HTTP_EXPECT" in environ:
        head.expect_continue = read_expect(environ["HTTP_EXPECT"], head.minor)


def _read_unusual_field(field: str, environ: dict[str, Any]) -> None:
    """Any field line: also without white space behind the colon, with a new name, or a repeated one."""
    name, colon, value = field.partition(":")
    if not colon:
        raise ProtocolError(400, f"field line without a colon {quoted(field)}")
    key = key_of(name)
    if not key:  # dropped
        return
    value = value.strip(OWS)
    environ[key] = combine(key, environ[key], value) if key in environ else value


parse_head: Callable[[bytes, Limits, dict[str, Any]], RequestHead] = parse_head_in_python
"""What everybody uses: the compiled twin where there is one."""

if speedups is not None:
    speedups.prepare_requests(
        parse_head_in_python,
        read_request_line,
        _read_unusual_field,
        obey_fields,
        RequestHead,
        KEYS,
        METHODS,
        CLASSES,
    )
    parse_head = speedups.parse_head
