"""`buffer_body = false`: the application is called after the head and reads the body as it arrives."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from support.deadline import Deadline
from support.http import Connection, chunked, encode
from support.server import Server, ServerFactory

MIB = 1024 * 1024
BODY = bytes(range(256)) * 12 * 1024
DIGEST = f"{len(BODY)} {hashlib.sha256(BODY).hexdigest()}".encode()


@pytest.fixture(scope="module")
def server(module_server_factory: ServerFactory) -> Iterator[Server]:
    settings = {
        "app": {"target": "uploads:app"},
        "workers": {"count": 1, "threads": 2},
        "requests": {"buffer_body": False, "body_timeout": "1s", "max_body": "4MiB"},
    }
    started = module_server_factory(settings).wait_ready()
    yield started
    started.close()


def head(path: str, *more: tuple[str, str]) -> bytes:
    return encode("POST", path, more)


def test_the_application_reads_before_the_body_is_complete(connection: Connection) -> None:
    connection.send(head("/five", ("Content-Length", "1000")) + b"hel")
    connection.send(b"lo, ")
    answer = connection.read_response()
    assert (answer.status, answer.body, answer.closes) == (200, b"hello", True)
    connection.sock.shutdown(socket.SHUT_WR)
    assert connection.ended()


def test_answers_may_begin_before_the_body_ends(connection: Connection) -> None:
    connection.send(head("/echo", ("Transfer-Encoding", "chunked")) + b"4\r\none\n\r\n")
    assert connection.read_head().status == 200
    assert connection.read_chunk() == b"> one\n"
    connection.send(b"3\r\ntwo\r\n")
    connection.send(b"0\r\n\r\n")
    assert connection.read_chunk() == b"> two"
    assert connection.read_chunk() == b""


def test_whole_bodies_arrive_and_the_connection_stays(connection: Connection) -> None:
    for _ in range(2):
        assert connection.request("POST", "/digest", body=BODY).body == DIGEST
        parts = [BODY[start : start + 70_000] for start in range(0, len(BODY), 70_000)]
        connection.send(head("/digest", ("Transfer-Encoding", "chunked")) + chunked(parts))
        answer = connection.read_response()
        assert (answer.body, answer.closes) == (DIGEST, False)
    assert connection.request("POST", "/digest", body=b"").body.startswith(b"0 ")
    assert connection.get("/digest").body.startswith(b"0 ")


def test_many_small_chunks(connection: Connection) -> None:
    body = BODY[:5000]
    connection.send(
        head("/digest", ("Transfer-Encoding", "chunked"))
        + chunked([body[i : i + 1] for i in range(len(body))])
    )
    assert connection.read_response().body == f"{len(body)} {hashlib.sha256(body).hexdigest()}".encode()
    assert connection.get("/ignore").status == 200


def test_pipelined_requests_stay_apart(connection: Connection) -> None:
    connection.send(b"".join(encode("POST", "/digest", body=b"%d" % number) for number in range(20)))
    for number in range(20):
        expected = hashlib.sha256(b"%d" % number).hexdigest()
        assert connection.read_response().text.endswith(expected)


def test_a_body_that_came_with_its_head_need_not_be_read(connection: Connection) -> None:
    assert not connection.request("POST", "/ignore", body=b"small").closes
    assert connection.request("POST", "/digest", body=b"next").text.endswith(
        hashlib.sha256(b"next").hexdigest()
    )


def test_a_body_that_nobody_reads_ends_the_connection(connection: Connection) -> None:
    connection.send(head("/ignore", ("Content-Length", "3000000")) + b"x" * 100)
    answer = connection.read_response()
    assert (answer.body, answer.closes) == (b"ignored", True)
    connection.send(b"x" * 1000)  # taken and thrown away: no reset may overtake the answer
    connection.sock.shutdown(socket.SHUT_WR)
    assert connection.ended()


def test_continue_is_said_when_the_application_reads(connection: Connection) -> None:
    connection.send(head("/digest", ("Content-Length", "4"), ("Expect", "100-continue")))
    assert connection.read_exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"body")
    answer = connection.read_response()
    assert (answer.status, answer.closes) == (200, False)


def test_continue_is_not_said_if_it_does_not(connection: Connection) -> None:
    connection.send(head("/ignore", ("Content-Length", "4"), ("Expect", "100-continue")))
    answer = connection.read_response()
    assert (answer.status, answer.interim, answer.closes) == (200, [], True)


def test_an_early_end_is_never_a_short_body(server: Server, connection: Connection) -> None:
    mark = server.mark()
    connection.send(head("/digest", ("Content-Length", "100")) + b"half")
    connection.sock.shutdown(socket.SHUT_WR)
    answer = connection.read_response()
    assert (answer.status, answer.closes) == (400, True)
    assert server.get("/ignore").status == 200
    assert not list(server.log.events("request_failed", mark))


def test_an_application_may_cope_with_an_early_end(connection: Connection) -> None:
    connection.send(head("/catch", ("Transfer-Encoding", "chunked")) + b"5\r\nhel")
    connection.sock.shutdown(socket.SHUT_WR)
    answer = connection.read_response()
    assert (answer.status, answer.closes) == (200, True)
    assert answer.text == "coped: the peer ended in the middle of a body"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"5\r\nhello\r\nxyz\r\n", 400), (b"5\r\nhelloXX", 400), (b"5\r\nhello\r\n500000\r\n", 413)],
)
def test_what_breaks_the_rules_is_refused_in_the_middle(
    connection: Connection, body: bytes, status: int
) -> None:
    connection.send(head("/digest", ("Transfer-Encoding", "chunked")) + b"1\r\nx\r\n")
    connection.send(body)
    answer = connection.read_response()
    assert (answer.status, answer.closes) == (status, True)


def test_a_length_over_the_limit_is_refused_before_the_application(connection: Connection) -> None:
    connection.send(head("/catch", ("Content-Length", str(5 * MIB))))
    assert connection.read_response().status == 413


def test_a_client_that_falls_silent_gets_a_408(connection: Connection) -> None:
    connection.send(head("/digest", ("Content-Length", "100")) + b"half")
    answer = connection.read_response()
    assert (answer.status, answer.closes) == (408, True)


def test_a_client_that_trickles_gets_a_408(connection: Connection) -> None:
    connection.send(head("/digest", ("Content-Length", "100000")))
    connection.sock.settimeout(0.05)
    deadline = Deadline()
    answer = b""
    while not answer and not deadline.passed:
        connection.send(b"x")
        with suppress(TimeoutError):
            answer = connection.sock.recv(4096)
    assert b" 408 " in answer


def test_slow_uploads_hold_their_threads_and_nobody_else(server: Server) -> None:
    with ExitStack() as stack:
        slow = stack.enter_context(server.connect())
        slow.send(head("/digest", ("Content-Length", "10")) + b"12345")
        for _ in range(5):
            assert server.get("/ignore").status == 200
        slow.send(b"67890")
        assert slow.read_response().text.startswith("10 ")
