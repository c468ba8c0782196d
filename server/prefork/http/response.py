"""Response heads: validation of what the application gave, and its bytes on the wire.

Owns: status lines, header fields, the framing lines of a response, chunk framing, the short answers that prefork gives
itself. Sans-IO: runs in the worker, in whichever thread has the request. Must not know: sockets, clocks (the Date line is
handed in), WSGI iterables.

Rules with their source:
  - field names are tokens, values hold no control character but HTAB (RFC 9110 section 5.5): otherwise an application
    that echoes input into a header would let a client split the response;
  - 1xx, 204 and 304 have no body, 1xx and 204 no Content-Length either (RFC 9110 section 8.6, RFC 9112 section 6.3);
  - hop-by-hop fields belong to the server (PEP 3333 "Other HTTP Features"): `Connection: close` is honoured, the others
    are left out, Transfer-Encoding is an error because the application would have framed the body itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec

from prefork.http.classes import CLASSES
from prefork.speedups import speedups

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_CONTROLS = bytes(b for b in range(256) if (b < 0x20 and b != 0x09) or b == 0x7F)

_PLAIN, _CONTENT_LENGTH, _CONNECTION, _TRANSFER_ENCODING, _DATE, _SERVER, _DROPPED = range(7)

_SPECIAL = {
    "content-length": _CONTENT_LENGTH,
    "connection": _CONNECTION,
    "transfer-encoding": _TRANSFER_ENCODING,
    "date": _DATE,
    "server": _SERVER,
    "keep-alive": _DROPPED,
    "proxy-connection": _DROPPED,
    "te": _DROPPED,
    "trailer": _DROPPED,
    "upgrade": _DROPPED,
}

_COMMON = """
    Accept-Ranges Access-Control-Allow-Origin Allow Cache-Control Content-Disposition Content-Encoding
    Content-Language Content-Location Content-Range Content-Security-Policy Content-Type
    Cross-Origin-Opener-Policy ETag Expires Last-Modified Link Location Permissions-Policy Pragma
    Referrer-Policy Retry-After Set-Cookie Strict-Transport-Security Vary WWW-Authenticate
    X-Content-Type-Options X-Frame-Options X-Request-ID X-XSS-Protection
""".split()

# Field names as applications spell them -> kind. Bounded: only what is written here; every other name is checked
# character by character.
_KINDS: dict[str, int] = dict.fromkeys(_COMMON + [n.lower() for n in _COMMON], _PLAIN) | _SPECIAL
_KINDS |= {"-".join(part.capitalize() for part in name.split("-")): kind for name, kind in _SPECIAL.items()}

_STATUS = {f"{s.value} {s.phrase}": s.value for s in HTTPStatus} | {"200 OK": 200}


class InvalidResponseError(ValueError):
    """The application gave a status or header that must not be sent; the text says which and why."""


class ResponseHead(msgspec.Struct, eq=False, gc=False):
    """A checked status and header list."""

    status: int
    block: bytes = b""
    """The status line and the fields, without the framing lines."""
    content_length: int | None = None
    """What the application declared, or None."""
    close: bool = False
    """The application asked for `Connection: close`."""
    has_date: bool = False
    has_server: bool = False

    @property
    def has_body(self) -> bool:
        """False where the status rules out a body (RFC 9112 section 6.3, 1.)."""
        status = self.status
        return not (status < 200 or status == 204 or status == 304)


def parse_status(status: str) -> int:
    """The code of a WSGI status string such as "200 OK". Raises InvalidResponseError."""
    if type(status) is not str:
        raise InvalidResponseError(f"status must be str, not {type(status).__name__}: {status!r}")
    code = status[:3]
    if not (len(status) >= 3 and code.isascii() and code.isdecimal() and status[3:4] in ("", " ")):
        raise InvalidResponseError(f"status must be three digits, a space and a reason: {status!r}")
    number = int(code)
    if not 200 <= number <= 599:
        raise InvalidResponseError(f"status must be a final status, 200 to 599: {status!r}")
    return number


def build_head_in_python(status: str, headers: Sequence[tuple[str, str]]) -> ResponseHead:
    """Checks what `start_response` was given. Raises InvalidResponseError with the offending field."""
    code = _STATUS.get(status) if type(status) is str else None
    if code is None or code < 200:
        code = parse_status(status)
    head = ResponseHead(code)
    lines = [f"HTTP/1.1 {status}\r\n"] if len(status) > 3 else [f"HTTP/1.1 {status} \r\n"]
    kinds = _KINDS
    for field in headers:
        try:
            name, value = field
            kind = kinds.get(name, -1)
        except (TypeError, ValueError):
            raise InvalidResponseError(
                f"each header must be a (name, value) tuple of str: {field!r}"
            ) from None
        if kind:  # anything but a well-known plain field
            if kind < 0:
                kind = _kind_of_unknown(name)
            if kind and not _note_special(head, kind, name, value):
                continue
        lines.append(f"{name}: {value}\r\n")
        if type(value) is not str:
            raise InvalidResponseError(
                f"header {name!r} must be a str, not {type(value).__name__}: {value!r}"
            )
    head.block = _encode(lines, headers)
    return head


def _encode(lines: list[str], headers: Sequence[tuple[str, str]]) -> bytes:
    try:
        block = "".join(lines).encode("latin-1")
    except UnicodeEncodeError:
        bad = next((n for n, v in headers if not _is_latin1(f"{n}{v}")), "status")
        raise InvalidResponseError(
            f"header {bad!r} holds characters outside latin-1 (PEP 3333 wants native latin-1 strings)"
        ) from None
    # Each line brought exactly one CR and one LF: any more, and any other control character, came from the application.
    if len(block.translate(None, _CONTROLS)) + 2 * len(lines) != len(block):
        bad = next((n for n, v in headers if _has_control(f"{n}{v}")), "status")
        raise InvalidResponseError(f"header {bad!r} holds a control character (RFC 9110 section 5.5)")
    return block


def _is_latin1(text: str) -> bool:
    return all(ord(c) < 256 for c in text)


def _has_control(text: str) -> bool:
    return any((c < " " and c != "\t") or c == "\x7f" for c in text)


def _kind_of_unknown(name: object) -> int:
    if type(name) is not str:
        raise InvalidResponseError(f"header name must be str, not {type(name).__name__}: {name!r}")
    if not name or not _TOKEN.issuperset(name):
        raise InvalidResponseError(f"header name is not a token (RFC 9110 section 5.6.2): {name!r}")
    return _SPECIAL.get(name.lower(), _PLAIN)


def _note_special(head: ResponseHead, kind: int, name: str, value: str) -> bool:
    """Takes note of a field that steers the server; True when it is to be sent as it is."""
    if type(value) is not str:
        raise InvalidResponseError(f"header {name!r} must be a str, not {type(value).__name__}: {value!r}")
    if kind == _CONTENT_LENGTH:
        if not (value.isascii() and value.isdecimal() and len(value) <= 19):
            raise InvalidResponseError(f"Content-Length must be a plain decimal number: {value!r}")
        if head.content_length is not None:
            raise InvalidResponseError("Content-Length is given twice")
        head.content_length = int(value)
        return head.status != 204
    if kind == _CONNECTION:
        head.close = head.close or "close" in [option.strip(" \t").lower() for option in value.split(",")]
        return False
    if kind == _TRANSFER_ENCODING:
        raise InvalidResponseError("Transfer-Encoding belongs to the server (PEP 3333): leave it out")
    if kind == _DATE:
        head.has_date = True
    elif kind == _SERVER:
        head.has_server = True
    return kind != _DROPPED


build_head: Callable[[str, Sequence[tuple[str, str]]], ResponseHead] = build_head_in_python
"""What everybody uses: the compiled twin where there is one. It does the common case and calls the above for every other."""

if speedups is not None:
    speedups.prepare_responses(build_head_in_python, ResponseHead, _STATUS, _KINDS, _SPECIAL, CLASSES)
    build_head = speedups.build_head


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked coding (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def early_hints(headers: Sequence[tuple[str, str]]) -> bytes:
    """A 103 interim response (RFC 8297). Raises InvalidResponseError."""
    head = build_head("204 No Content", headers)  # as for a 204: no Content-Length (RFC 9110 section 8.6)
    return b"HTTP/1.1 103 Early Hints\r\n" + head.block.partition(b"\r\n")[2] + b"\r\n"


def short_answer(
    status: int, *, date_and_server: bytes, head_only: bool = False, extra: bytes = b""
) -> bytes:
    """The answer prefork gives itself: the status in words, `Connection: close`.

    It never repeats bytes of the request: an error page that echoes input is a hole of its own.
    """
    reason = _reason(status)
    body = f"{status} {reason}\n".encode("ascii")
    return (
        b"HTTP/1.1 %d %b\r\n%bContent-Type: text/plain\r\nContent-Length: %d\r\n%bConnection: close\r\n\r\n%b"
        % (
            status,
            reason.encode("ascii"),
            date_and_server,
            len(body),
            extra,
            b"" if head_only else body,
        )
    )


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
