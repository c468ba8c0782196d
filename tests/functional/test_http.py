"""HTTP/1.0 and HTTP/1.1 as a client meets them, over real sockets and with both executors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from support.gate import Gate
from support.http import Connection, chunked, encode
from support.server import Server, ServerFactory

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=[1, 4], ids=["inline", "threads"])
def server(request: pytest.FixtureRequest, module_server_factory: ServerFactory) -> Iterator[Server]:
    settings = {"app": {"target": "probe:app"}, "workers": {"count": 1, "threads": request.param}}
    started = module_server_factory(settings).wait_ready()
    yield started
    started.close()


def test_a_connection_serves_many_requests(connection: Connection) -> None:
    for _ in range(100):
        answer = connection.get("/")
        assert (answer.status, answer.body, answer.closes) == (200, b"Hello, World!", False)


def test_connection_close_is_honoured(connection: Connection) -> None:
    answer = connection.get("/", [("Connection", "close")])
    assert answer.closes
    assert connection.ended()


def test_pipelined_requests_are_answered_in_order(connection: Connection) -> None:
    bodies = [b"body %d" % number for number in range(50)]
    connection.send(b"".join(encode("POST", "/echo", body=body) for body in bodies))
    assert [connection.read_response().body for _ in bodies] == bodies


def test_a_pipeline_ends_at_connection_close(connection: Connection) -> None:
    last = encode("GET", "/", [("Connection", "close")])
    connection.send(encode("GET", "/worker") + last + encode("GET", "/boom"))
    assert connection.read_response().status == 200
    assert connection.read_response().closes
    assert connection.ended()


def test_a_request_may_come_byte_by_byte(connection: Connection) -> None:
    for byte in encode("POST", "/echo", body=b"slowly"):
        connection.send(bytes([byte]))
    assert connection.read_response().body == b"slowly"


@pytest.mark.parametrize("size", [0, 1, 1000, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 3 * MIB])
def test_bodies_around_the_memory_limit_arrive_whole(connection: Connection, size: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    expected = f"{size} {hashlib.sha256(body).hexdigest()}".encode()
    assert connection.request("POST", "/digest", body=body).body == expected
    parts = [body[start : start + 100_000] for start in range(0, size, 100_000)]
    connection.send(encode("POST", "/digest", [("Transfer-Encoding", "chunked")]) + chunked(parts))
    assert connection.read_response().body == expected
    assert connection.get("/").status == 200


def test_expect_continue_is_answered_before_the_body(connection: Connection) -> None:
    connection.send(encode("POST", "/echo", [("Expect", "100-continue"), ("Content-Length", "4")]))
    assert connection.read_exactly(len(b"HTTP/1.1 100 Continue\r\n")) == b"HTTP/1.1 100 Continue\r\n"
    assert connection.read_exactly(2) == b"\r\n"
    connection.send(b"body")
    answer = connection.read_response()
    assert (answer.status, answer.body, answer.interim) == (200, b"body", [])


def test_a_body_over_the_limit_is_refused_before_it_is_sent(connection: Connection) -> None:
    headers = [("Expect", "100-continue"), ("Content-Length", str(10**12))]
    connection.send(encode("POST", "/echo", headers))
    answer = connection.read_response()
    assert (answer.status, answer.interim, answer.closes) == (413, [], True)
    assert connection.ended()


def test_http_1_0_closes_unless_asked_to_keep_alive(server: Server) -> None:
    with server.connect() as connection:
        answer = connection.request("GET", "/", version="HTTP/1.0")
        assert (answer.status, answer.body) == (200, b"Hello, World!")
        assert connection.ended()
    with server.connect() as connection:
        for _ in range(3):
            answer = connection.request("GET", "/", [("Connection", "keep-alive")], version="HTTP/1.0")
            assert (answer.header("Connection") or "").lower() == "keep-alive"


def test_http_1_0_gets_a_stream_without_chunks(server: Server, gate: Gate) -> None:
    with server.connect() as connection:
        gate.open()
        answer = connection.request("GET", f"/stream?path={gate.path}", version="HTTP/1.0")
        assert answer.header("Transfer-Encoding") is None
        assert answer.body == b"first\nsecond\n"


def test_head_has_the_headers_of_get_and_no_body(connection: Connection) -> None:
    head = connection.request("HEAD", "/")
    body = connection.get("/")
    assert (head.status, head.body) == (200, b"")
    assert head.header("Content-Length") == body.header("Content-Length") == "13"
    assert connection.get("/").body == b"Hello, World!"


def test_a_stream_leaves_as_it_is_made(connection: Connection, gate: Gate) -> None:
    connection.send(encode("GET", f"/stream?path={gate.path}"))
    connection.read_head()
    assert connection.read_chunk() == b"first\n"
    gate.open()
    assert connection.read_chunk() == b"second\n"
    assert connection.read_chunk() == b""


def test_a_slow_reader_gets_a_big_response_whole_and_holds_nobody(server: Server) -> None:
    size = 20 * MIB
    with server.connect(receive_buffer=4096) as slow:
        slow.send(encode("GET", f"/big?size={size}"))
        head = slow.read_head()
        for _ in range(10):
            assert (
                server.get("/").status == 200
            )  # the one worker is free while the other client reads nothing
        assert head.header("Content-Length") == str(size)
        body = slow.read_exactly(size)
        assert body == (b"0123456789abcdef" * 4096 * (size // 65536 + 1))[:size]


def test_an_exception_is_a_500_and_the_connection_stays_in_step(connection: Connection) -> None:
    assert connection.get("/boom").status == 500
    with_new_one_if_closed = connection.get("/")
    assert with_new_one_if_closed.body == b"Hello, World!"


def test_the_environ_of_a_request(server: Server, connection: Connection) -> None:
    answer = connection.request(
        "POST", "/environ?a=%C3%BC&b", [("X-Some-Thing", "1"), ("X-Some-Thing", "2")], b""
    )
    environ = json.loads(answer.body)
    client_host, client_port = connection.sock.getsockname()
    host, _, port = server.address.rpartition(":")
    wanted = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/environ",
        "QUERY_STRING": "a=%C3%BC&b",
        "SCRIPT_NAME": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": host,
        "SERVER_PORT": port,
        "REMOTE_ADDR": client_host,
        "REMOTE_PORT": str(client_port),
        "HTTP_HOST": "test",
        "HTTP_X_SOME_THING": "1,2",
        "CONTENT_LENGTH": "0",
        "wsgi.url_scheme": "http",
        "wsgi.version": [1, 0],
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.multithread": server.settings["workers"]["threads"] > 1,
    }
    got = {key: environ.get(key) for key in wanted}
    got["HTTP_X_SOME_THING"] = str(got["HTTP_X_SOME_THING"]).replace(", ", ",")
    assert got == wanted


def test_a_client_that_leaves_in_the_middle_costs_nothing(server: Server) -> None:
    before = server.workers()
    for data in (b"", b"GET / HT", encode("POST", "/echo", [("Content-Length", "10")]) + b"half"):
        with server.connect() as leaving:
            leaving.send(data)
    with server.connect() as leaving:
        leaving.send(encode("GET", f"/big?size={50 * MIB}"))
        leaving.read_head()
    assert server.get("/").status == 200
    assert server.workers() == before
