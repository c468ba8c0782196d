"""Bytes that no honest client sends, to a whole server: each is refused, and nobody else is hurt.

The codec's own tests go through every rule; here a refusal has to come out of the socket.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.http import ConnectionEndedError
from support.server import Server, ServerFactory

HOST = b"Host: test\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST /echo HTTP/1.1\r\n" + HOST

REFUSED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (GET + HOST + b"\r\n", 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: test\n\n", 400),
    "bare CR in a value": (GET + b"X: a\rb\r\n\r\n", 400),
    "NUL in a value": (GET + b"X: a\0b\r\n\r\n", 400),
    "NUL in the target": (b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "folded header": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "space before the colon": (GET + b"X : a\r\n\r\n", 400),
    "space before the first header": (b"GET / HTTP/1.1\r\n " + HOST + b"\r\n", 400),
    "empty name": (GET + b": a\r\n\r\n", 400),
    "no colon": (GET + b"X\r\n\r\n", 400),
    "length with a sign": (POST + b"Content-Length: +4\r\n\r\nbody", 400),
    "length negative": (POST + b"Content-Length: -4\r\n\r\nbody", 400),
    "length with underscore": (POST + b"Content-Length: 1_0\r\n\r\n0123456789", 400),
    "length in hexadecimal": (POST + b"Content-Length: 0x4\r\n\r\nbody", 400),
    "length empty": (POST + b"Content-Length:\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody", 400),
    "a list of lengths": (POST + b"Content-Length: 4, 4\r\n\r\nbody", 400),
    "length and chunked": (
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "gzip coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in HTTP/1.0": (
        b"POST /echo HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunk size with 0x": (POST + b"Transfer-Encoding: chunked\r\n\r\n0x4\r\nbody\r\n0\r\n\r\n", 400),
    "chunk size empty": (POST + b"Transfer-Encoding: chunked\r\n\r\n\r\nbody\r\n0\r\n\r\n", 400),
    "chunk size with LF": (POST + b"Transfer-Encoding: chunked\r\n\r\n4\nbody\r\n0\r\n\r\n", 400),
    "chunk too long": (POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbodyX\r\n0\r\n\r\n", 400),
    "chunk of a planet": (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", (400, 413)),
    "unknown expectation": (POST + b"Expect: miracles\r\nContent-Length: 4\r\n\r\nbody", 417),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 505),
    "lower case protocol": (b"GET / http/1.1\r\n" + HOST + b"\r\n", 400),
    "no protocol": (b"GET /\r\n\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "method with a bracket": (b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "line too long": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "header too long": (GET + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431),
    "too many headers": (GET + b"".join(b"X-%d: y\r\n" % n for n in range(150)) + b"\r\n", 431),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), 400),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", 400),
}


@pytest.fixture(scope="module")
def server(module_server_factory: ServerFactory) -> Iterator[Server]:
    requests = {
        "header_timeout": 600,
        "body_timeout": 600,
        "keepalive_timeout": 600,
    }  # a refusal, not a time limit
    started = module_server_factory({"app": {"target": "probe:app"}, "requests": requests}).wait_ready()
    workers = started.workers()
    yield started
    assert started.workers() == workers, "no bytes may end a worker"
    started.close()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_status_and_a_close(server: Server, name: str) -> None:
    data, status = REFUSED[name]
    with server.connect() as connection:
        connection.send(data)
        answer = connection.read_response()
        assert answer.status in (status if isinstance(status, tuple) else (status,)), answer
        assert answer.closes
        assert answer.body
        assert connection.ended()
    assert server.get("/").status == 200


def test_what_follows_a_refused_request_is_never_served(server: Server) -> None:
    smuggled = b"GET /boom HTTP/1.1\r\n" + HOST + b"\r\n"
    for data, _ in REFUSED.values():
        with server.connect() as connection:
            connection.send(data + smuggled)
            assert connection.read_response().status != 500
            assert connection.ended()


def test_a_body_cut_short_never_reaches_the_application(server: Server) -> None:
    mark = server.mark()
    with server.connect() as connection:
        connection.send(POST.replace(b"/echo", b"/boom") + b"Content-Length: 100\r\n\r\nhalf")
        connection.sock.shutdown(1)
        connection.read_to_end()
    assert server.get("/").status == 200
    assert not server.log.search("boom", after=mark)


METHODS = [b"GET ", b"POST ", b"/", b" HTTP/1.1"]
MARKS = [b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"5\r\nhello\r\n", b"0\r\n\r\n"]
FIELDS = [b"Host: t", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close"]
PIECES = st.sampled_from([*METHODS, *MARKS, *FIELDS, b"Expect: 100-continue"])


@settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.lists(st.one_of(PIECES, st.binary(max_size=20)), min_size=1, max_size=30).map(b"".join))
def test_whatever_comes_is_answered_or_closed(server: Server, data: bytes) -> None:
    with server.connect() as connection:
        connection.send(data)
        connection.sock.shutdown(1)
        try:
            while True:
                answer = connection.read_response()
                assert answer.status in (200, 400, 404, 413, 414, 417, 431, 501, 505), answer
        except (ConnectionEndedError, ConnectionResetError):
            pass
    assert server.get("/").status == 200
