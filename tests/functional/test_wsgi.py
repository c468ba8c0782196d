"""Every application of the tests behind wsgiref's validator, and methods and versions through the whole stack."""

from __future__ import annotations

import json
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gate import Gate
from support.http import Connection
from support.server import APPS, Server, ServerFactory

VALIDATED = """
    from wsgiref.validate import validator
    from {module} import app as unchecked

    app = validator(unchecked)
"""


def validated(folder: Path, module: str) -> str:
    """Target of the application `module:app` with the validator around it."""
    (folder / f"validated_{module}.py").write_text(textwrap.dedent(VALIDATED.format(module=module)))
    return f"validated_{module}:app"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_validator_finds_nothing(serve: ServerFactory, tmp_path: Path, threads: int) -> None:
    target = validated(tmp_path, "uploads")
    settings = {"app": {"path": [str(tmp_path), str(APPS)]}, "requests": {"buffer_body": threads == 1}}
    server = serve(target, threads=threads, settings=settings)
    mark = server.mark()
    for path in ("/digest", "/ignore", "/five", "/echo"):
        for method, body in (("POST", b"one\ntwo\n"), ("POST", b""), ("GET", None), ("HEAD", None)):
            assert server.request(method, path, body=body).status == 200, (method, path)
        for version in ("HTTP/1.0", "HTTP/1.1"):
            with server.connect() as connection:
                assert connection.request("POST", path, body=b"x" * 70_000, version=version).status == 200
    assert not list(server.log.events("request_failed", mark))


@pytest.mark.parametrize(
    "module", ["probe", "flask_app", "django_app", "falcon_app", "bottle_app", "pyramid_app"]
)
def test_the_validator_finds_nothing_in_frameworks(serve: ServerFactory, tmp_path: Path, module: str) -> None:
    if module != "probe":
        pytest.importorskip(module.removesuffix("_app"))
    target = validated(tmp_path, module)
    server = serve(target, settings={"app": {"path": [str(tmp_path), str(APPS)]}})
    mark = server.mark()
    for method, body in (("GET", None), ("HEAD", None), ("POST", b"a=1"), ("DELETE", None)):
        assert server.request(method, "/", body=body).status < 500
    assert server.get("/not-there").status == 404
    assert not list(server.log.events("request_failed", mark))


# Methods and versions ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(module_server_factory: ServerFactory) -> Iterator[Server]:
    started = module_server_factory({"app": {"target": "probe:app"}}).wait_ready()
    yield started
    started.close()


def environ_of(connection: Connection, method: str = "GET", **options: object) -> dict[str, object]:
    answer = connection.request(method, "/environ", **options)  # type: ignore[arg-type]
    assert answer.status == 200
    return dict(json.loads(answer.body))


@pytest.mark.parametrize("method", ["PATCH", "PROPFIND", "BREW", "get", "M-SEARCH", "!#$%&'*+-.^_`|~"])
def test_any_token_is_a_method(connection: Connection, method: str) -> None:
    assert environ_of(connection, method)["REQUEST_METHOD"] == method
    assert connection.get("/").status == 200


def test_options_of_the_server_as_a_whole(server: Server, connection: Connection) -> None:
    answer = connection.request("OPTIONS", "*")
    assert (answer.status, answer.closes) == (404, False)  # the application's to answer: its PATH_INFO is "*"
    assert connection.request("GET", "*").status == 400


def test_connect_is_refused(connection: Connection) -> None:
    answer = connection.request("CONNECT", "example.org:443")
    assert (answer.status, answer.closes) == (501, True)
    assert connection.ended()


@pytest.mark.parametrize(
    "fields",
    [
        [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "x"),
            ("Sec-WebSocket-Version", "13"),
        ],
        [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABk")],
        [("Upgrade", "TLS/1.3"), ("Connection", "upgrade")],
    ],
    ids=["websocket", "h2c", "tls"],
)
def test_an_upgrade_is_ignored_politely(connection: Connection, fields: list[tuple[str, str]]) -> None:
    answer = connection.get("/", fields)
    assert (answer.status, answer.interim, answer.header("Upgrade"), answer.closes) == (200, [], None, False)
    assert connection.get("/").status == 200


@pytest.mark.parametrize(
    ("version", "fields", "stays"),
    [
        ("HTTP/1.0", [], False),
        ("HTTP/1.0", [("Connection", "keep-alive")], True),
        ("HTTP/1.0", [("Connection", "Keep-Alive, close")], False),
        ("HTTP/1.1", [], True),
        ("HTTP/1.1", [("Connection", "close")], False),
        ("HTTP/1.1", [("Connection", "x, CLOSE")], False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_who_keeps_the_connection(
    connection: Connection, method: str, version: str, fields: list[tuple[str, str]], stays: bool
) -> None:
    body = b"x" if method == "POST" else None
    answer = connection.request(method, "/", fields, body, version=version)
    assert answer.status == 200
    assert answer.closes is not stays
    assert ((answer.header("Connection") or "") == "keep-alive") is (stays and version == "HTTP/1.0")
    if stays:
        assert connection.get("/").status == 200
    else:
        assert connection.ended()


def test_the_number_of_the_connection_and_of_the_request_on_it(server: Server) -> None:
    with server.connect() as one, server.connect() as other:
        first = [environ_of(one)["prefork.connection"] for _ in range(3)]
        second = [environ_of(other)["prefork.connection"] for _ in range(2)]
    numbers = {connection for connection, _ in first}  # type: ignore[misc]
    assert len(numbers) == 1
    assert [request for _, request in first] == [1, 2, 3]  # type: ignore[misc]
    assert [request for _, request in second] == [1, 2]  # type: ignore[misc]
    assert {connection for connection, _ in second}.isdisjoint(numbers)  # type: ignore[misc]


def test_the_worker(server: Server, connection: Connection) -> None:
    environ = environ_of(connection)
    assert (environ["prefork.worker"], environ["prefork.generation"]) == (1, 1)


AFTER = """
    import prefork
    from gates import wait_at

    def app(environ, start_response):
        def later():
            wait_at(environ["QUERY_STRING"])
            print("it ran", flush=True)
        prefork.after_response(later)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_after_response_the_client_does_not_wait_and_a_stop_does(
    serve: ServerFactory, tmp_path: Path, gate: Gate, threads: int
) -> None:
    (tmp_path / "later.py").write_text(textwrap.dedent(AFTER))
    settings = {"app": {"path": [str(tmp_path), str(APPS)]}}
    server = serve("later:app", threads=threads, settings=settings)
    with server.connect() as connection:
        answer = connection.get(f"/?{gate.path}", [("Connection", "close")])
        assert answer.body == b"ok"
        assert connection.ended()
        server.wait_for_log("at the gate")
        mark = server.mark()
        server.signal(signal.SIGTERM)
        server.wait_for_event("stopping", after=mark)
        gate.open()
        assert server.wait() == 0
        assert server.out.search("it ran") is not None
