"""Responses of the status process: one shape for all.

Owns: header fields that every response has, and compression. Pure. Runs in: status process. Must not know: what is said.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prefork.http.negotiation import preferred_codings

StartResponse = Callable[..., Any]

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

WORTH_COMPRESSING = 1024
"""Bytes: less fits a packet or two either way."""

_REASONS = {
    200: "200 OK",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    500: "500 Internal Server Error",
    501: "501 Not Implemented",
    503: "503 Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said."""

    status: int
    content_type: str
    body: bytes
    policy: str = NO_CONTENT_POLICY
    """Content-Security-Policy."""
    extra: tuple[tuple[str, str], ...] = ()


def text(status: int, line: str, *extra: tuple[str, str]) -> Reply:
    """A line of plain text."""
    return Reply(status, TEXT, f"{line}\n".encode(), extra=extra)


def send(reply: Reply, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """`reply` as a WSGI response."""
    body = reply.body
    headers = [
        ("Content-Type", reply.content_type),
        # How things are now; a cache would say how they were.
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", reply.policy),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Vary", "Accept-Encoding, Accept"),
        *reply.extra,
    ]
    accepted = environ.get("HTTP_ACCEPT_ENCODING")
    if len(body) >= WORTH_COMPRESSING and preferred_codings(accepted, ["gzip"]):
        body = gzip.compress(body, compresslevel=3, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    headers.append(("Content-Length", str(len(body))))
    start_response(_REASONS[reply.status], headers)
    return [body]
