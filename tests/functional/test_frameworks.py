"""Real frameworks through the whole stack: the same pages in each (`apps/flask_app.py` and its siblings).

A framework that is not installed is a failure, not a reason to skip: `make test` installs them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from support.gate import Gate
from support.http import Response
from support.server import Server, ServerFactory

FRAMEWORKS = ["flask", "django", "falcon", "bottle", "pyramid"]
THREADS = [1, 4]
UPLOAD_BYTES = 50 * 1024 * 1024
FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture(scope="module", params=[(name, n) for name in FRAMEWORKS for n in THREADS], ids=str)
def served(
    request: pytest.FixtureRequest, module_server_factory: ServerFactory
) -> Iterator[tuple[str, Server]]:
    """One framework's application on one worker, with one thread and with four."""
    name, threads = request.param
    settings = {
        "app": {"target": f"{name}_app:app"},
        "workers": {"count": 1, "threads": threads},
    }
    server = module_server_factory(settings).wait_ready()
    yield name, server
    assert len(server.workers()) == 1
    assert not server.log.events("worker_exited"), "no request may end a worker"
    server.close()


def path_of(response: Response) -> str:
    """The path of a Location header, which some frameworks make absolute."""
    return "/" + (response.header("Location") or "").removeprefix("http://test").lstrip("/")


def test_a_session_survives_from_login_to_the_next_request(served: tuple[str, Server]) -> None:
    _, server = served
    with server.connect() as connection:
        assert connection.get("/me").status == 401
        login = connection.request("POST", "/login", [FORM], b"user=anna")
        assert (login.status, path_of(login)) == (303, "/me")
        (cookie,) = login.all("Set-Cookie")
        me = connection.get("/me", [("Cookie", cookie.split(";")[0].strip())])
        assert (me.status, me.body) == (200, b"anna")


def test_an_upload_of_50_mib_arrives_whole(served: tuple[str, Server]) -> None:
    _, server = served
    block = hashlib.sha256(b"seed").digest() * 32768
    content = block * (UPLOAD_BYTES // len(block))
    head = b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n'
    body = head + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--frontier--\r\n"
    answer = server.request(
        "POST", "/upload", [("Content-Type", "multipart/form-data; boundary=frontier")], body
    )
    assert answer.status == 200, answer.body
    assert json.loads(answer.body) == {
        "name": "large.bin",
        "size": UPLOAD_BYTES,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_a_stream_arrives_piece_by_piece(served: tuple[str, Server], gate: Gate) -> None:
    _, server = served
    with server.connect() as connection:
        connection.send(f"GET /stream?gate={gate.path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        head = connection.read_head()
        assert head.header("Transfer-Encoding") == "chunked"
        assert connection.read_chunk() == b"first\n"  # the application has not made the second one yet
        gate.open()
        assert connection.read_chunk() == b"second\n"
        assert connection.read_chunk() == b""
        assert connection.get("/").status == 200


def test_redirects_head_and_missing_pages_on_one_connection(served: tuple[str, Server]) -> None:
    name, server = served
    with server.connect() as connection:
        moved = connection.get("/redirect")
        assert (moved.status, path_of(moved)) == (302, "/")
        head = connection.request("HEAD", "/")
        assert head.status == 200
        assert connection.get("/missing").status == 404
        home = connection.get("/")
        assert home.body.decode() == f"home of {name}"
        if head.header("Content-Length") is not None:
            assert head.header("Content-Length") == home.header("Content-Length")


def test_large_headers_both_ways(served: tuple[str, Server]) -> None:
    _, server = served
    with server.connect() as connection:
        assert connection.get("/cookie", [("Cookie", "big=" + "x" * 16384)]).body == b"16384"
        assert connection.get("/header").header("X-Large") == "x" * 16384


def test_utf8_paths_and_queries(served: tuple[str, Server]) -> None:
    _, server = served
    answer = server.get("/gr%C3%BC%C3%9Fe/%E6%97%A5%E6%9C%AC?an=%C3%9Cmit")  # /grüße/日本?an=Ümit
    assert (answer.status, answer.text) == (200, "grüße an Ümit")


def test_an_exception_is_a_500_and_the_worker_lives_on(served: tuple[str, Server]) -> None:
    name, server = served
    before = server.workers()
    mark = server.mark()
    assert server.get("/boom").status == 500
    assert server.get("/").body.decode() == f"home of {name}"
    assert server.workers() == before
    server.wait_for_log(f"boom in {name}", after=mark)
