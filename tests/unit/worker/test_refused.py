"""A request that was refused before it had its turn has a line in the access log, with what is known of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from prefork.http.limits import Limits
from prefork.observe.access_format import compile_format
from prefork.worker.connections import TimeLimits
from support.serving import FakeClock, Station, hello, station

LINE = compile_format(
    '{addr} "{request}" {method} {path} {status} {bytes} {bytes_in} {duration_us} {connection_request}'
)
POST = b"POST /up?x=1 HTTP/1.1\r\nHost: t\r\n"
TOO_LARGE = len(f"413 {HTTPStatus(413).phrase}\n")
"""The length of the answer's body: Python 3.13 has other words for it (RFC 9110)."""
LONG = b"x" * 9000


def lines_of(made: Station) -> list[str]:
    return [LINE(entry).decode("ascii").rstrip("\n") for entry in made.access.entries]


@pytest.mark.parametrize("pieces", [1, 2, 9000])
@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"GET /a HTTP/1.1\r\n\r\n", '"GET /a HTTP/1.1" GET /a 400 16'),
        (b"\r\nGET /a HTTP/1.1\r\nHost : t\r\n\r\n", '"GET /a HTTP/1.1" GET /a 400 16'),
        (b"GET /a HTTP/3.0\r\nHost: t\r\n\r\n", '"GET /a HTTP/3.0" GET /a 505 31'),
        (b"NON\"SENSE\r\n\r\n", '"NON\\x22SENSE" - NON\\x22SENSE 400 16'),
        (b"GET /b HTTP/1.1\r\nHost: t\r\nX: " + LONG + b"\r\n\r\n", '"GET /b HTTP/1.1" GET /b 431 36'),
        (POST + b"Content-Length: 2000\r\n\r\n", f'"POST /up?x=1 HTTP/1.1" POST /up 413 {TOO_LARGE}'),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", '"POST /up?x=1 HTTP/1.1" POST /up 400 16'),
    ],
)  # fmt: skip
def test_what_is_known_of_it(raw: bytes, line: str, pieces: int) -> None:
    with station(hello, limits=Limits(max_body=1000, max_header_bytes=4000)) as made:
        client = made.connect()
        size = max(1, -(-len(raw) // pieces))
        for at in range(0, len(raw), size):
            if made.access.entries:
                break
            client.send(raw[at : at + size])
            made.turn()
        client.read_to_end()
        (logged,) = lines_of(made)
        assert logged == f"127.0.0.1 {line} 0 0 1"


def test_what_is_no_http_is_refused_at_its_first_bytes() -> None:
    with station(hello) as made:
        made.connect(b"\x16\x03\x01").read_to_end()
        assert lines_of(made) == ['127.0.0.1 "\\x16\\x03\\x01" - \\x16\\x03\\x01 400 16 0 0 1']


def test_a_line_that_is_too_long_is_cut_at_the_limit() -> None:
    with station(hello, limits=Limits(max_request_line=300)) as made:
        made.connect(b"GET /" + LONG + b" HTTP/1.1\r\n\r\n").read_to_end()
        (logged,) = lines_of(made)
        assert f'"GET /{"x" * 295}" - ' in logged
        assert " 414 " in logged


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"GET /slow HTTP/1.1\r\nHos", '"GET /slow HTTP/1.1" GET /slow 408'),
        (b"GET /sl", '"GET /sl" - GET\\x20/sl 408'),
        (POST + b"Content-Length: 10\r\n\r\nabc", '"POST /up?x=1 HTTP/1.1" POST /up 408'),
    ],
)
def test_who_comes_too_late(raw: bytes, line: str) -> None:
    clock = FakeClock()
    times = TimeLimits(header_s=10.0, body_s=10.0, write_s=30.0, keepalive_s=5.0)
    with station(hello, clock=clock, times=times) as made:
        client = made.connect(raw)
        made.turn()
        clock.now += 12
        client.read_to_end()
        (logged,) = lines_of(made)
        assert logged.startswith(f"127.0.0.1 {line} ")


@pytest.mark.parametrize("buffered", [True, False])
def test_after_others_of_its_connection(buffered: bool) -> None:
    """Nothing of the request before is told of it."""

    def read(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    with station(read, threads=1 if buffered else 2, buffer_bodies=buffered) as made:
        client = made.connect(POST + b"Content-Length: 2\r\n\r\nabNONSENSE\r\n\r\n")
        client.read_to_end()
        assert [entry.status for entry in made.access.entries] == [200, 400]
        assert lines_of(made)[1] == '127.0.0.1 "NONSENSE" - NONSENSE 400 16 0 0 2'


def test_nobody_who_said_nothing_has_a_line() -> None:
    clock = FakeClock()
    with station(hello, clock=clock) as made:
        client = made.connect()
        made.turn()
        clock.now += 12
        assert client.read_to_end() == b""
        assert made.access.entries == []
