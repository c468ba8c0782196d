"""What prefork accepts, h11 and llhttp (httptools) read as the same request; where not, a clause of the RFC decides."""

from __future__ import annotations

from typing import Any

import h11
import httptools
import pytest

from unit.http.cases import ACCEPTED, Accepted, body_of, drive, new_receiver

Reading = tuple[str, str, dict[str, str], bytes]
"""Method, target, environ keys of the fields, body."""


def as_environ(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """The fields as docs/http.md says an application gets them, from an oracle's list."""
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        key = name.decode().upper()
        if "_" in key or key == "PROXY":
            continue
        fields.setdefault(key.replace("-", "_"), []).append(value.decode("latin-1").strip(" \t"))
    fields.pop("TRANSFER_ENCODING", None)
    return {
        key if key.startswith("CONTENT_T") or key == "CONTENT_LENGTH" else f"HTTP_{key}": (
            "; " if key == "COOKIE" else ","
        ).join(values)
        for key, values in fields.items()
    }


def read_with_h11(wire: bytes) -> Reading:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(wire)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    body = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += bytes(event.data)
    # h11 adds nothing, but lower-cases names.
    return request.method.decode(), request.target.decode(), as_environ(list(request.headers)), body


class Collector:
    def __init__(self) -> None:
        self.url = self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = self.in_trailers = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_trailers:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.in_trailers = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def read_with_httptools(wire: bytes) -> Reading:
    collector = Collector()
    parser: Any = httptools.HttpRequestParser(collector)
    parser.feed_data(wire)
    assert collector.complete
    return parser.get_method().decode(), collector.url.decode(), as_environ(collector.headers), collector.body


def read_with_prefork(case: Accepted) -> Reading:
    [request] = drive(new_receiver(case.limits), [case.wire])
    fields = {key: value for key, value in request.environ.items() if key.startswith(("HTTP_", "CONTENT_"))}
    if request.head.chunked:
        del fields["CONTENT_LENGTH"]  # ours, not the client's
    if request.head.authority is not None:
        fields.pop("HTTP_HOST")  # RFC 9112 section 3.2.2, not a matter of reading
    return request.head.method, request.head.target, fields, body_of(request)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
@pytest.mark.parametrize(
    ("oracle", "differs"),
    [(read_with_h11, lambda case: case.h11), (read_with_httptools, lambda case: case.httptools)],
    ids=["h11", "httptools"],
)
def test_reads_the_same(case: Accepted, oracle: Any, differs: Any) -> None:
    ours = read_with_prefork(case)
    try:
        method, target, fields, body = oracle(case.wire)
        if "://" in target:
            fields.pop("HTTP_HOST", None)
        same = (method, target, fields, body) == ours
        theirs = repr((method, target, fields, body))
    except (h11.RemoteProtocolError, httptools.HttpParserError, AssertionError) as error:
        same = False
        theirs = repr(error)
    if differs(case):
        assert not same, f"they read it as we do; remove the exception ({differs(case)})"
        assert "RFC" in differs(case)
    else:
        assert same, theirs
