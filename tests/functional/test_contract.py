"""What a client and an operator see when an application keeps or breaks WSGI's contract."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from support.http import Connection, ConnectionEndedError
from support.server import Server, ServerFactory


@pytest.fixture(scope="module", params=[1, 2], ids=["inline", "threads"])
def server(request: pytest.FixtureRequest, module_server_factory: ServerFactory) -> Iterator[Server]:
    settings = {"app": {"target": "contract:app"}, "workers": {"count": 1, "threads": request.param}}
    started = module_server_factory(settings).wait_ready()
    yield started
    started.close()


@pytest.fixture(scope="module")
def bare(module_server_factory: ServerFactory) -> Iterator[Server]:
    started = module_server_factory(
        {"app": {"target": "contract:bare"}, "workers": {"count": 1}}
    ).wait_ready()
    yield started
    started.close()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/writes", 200, b"written, written, returned, returned"),
        ("/replaces", 404, b"replaced"),
        ("/too_long", 200, b"longe"),
        ("/raises_before", 500, b"500 Internal Server Error\n"),
    ],
)
def test_answers_are_whole_and_the_connection_stays(
    server: Server, connection: Connection, path: str, status: int, body: bytes
) -> None:
    mark = server.mark()
    for _ in range(2):
        answer = connection.get(path)
        assert (answer.status, answer.body, answer.closes) == (status, body, False)
    server.wait_for_log("^closed$", after=mark)


@pytest.mark.parametrize("path", ["/raises_between", "/too_short"])
def test_what_is_not_whole_does_not_look_so(server: Server, connection: Connection, path: str) -> None:
    mark = server.mark()
    with pytest.raises(ConnectionEndedError):
        connection.get(path)
    server.wait_for_log("^closed$", after=mark)


def test_an_error_behind_the_last_byte(server: Server, connection: Connection) -> None:
    mark = server.mark()
    assert connection.get("/raises_after").body == b"one"
    assert server.wait_for_event("request_failed", after=mark)["error"] == "RuntimeError: after"
    server.wait_for_log("^closed$", after=mark)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/starts_twice", "ApplicationError: start_response was called twice without exc_info"),
        ("/gives_text", "ApplicationError: the body must be an iterable of bytes, it gave str"),
        (
            "/gives_nothing",
            "ApplicationError: the application must return an iterable of bytes, not NoneType",
        ),
        ("/gives_bytes", "ApplicationError: the application must return an iterable of bytes, not bytes"),
        ("/bad_status", "InvalidResponseError: status must be str, not int: 200"),
        ("/bad_header", "InvalidResponseError: header 'X-Count' must be a str, not int: 5"),
        (
            "/split_header",
            "InvalidResponseError: header 'X-Echo' holds a control character (RFC 9110 section 5.5)",
        ),
        ("/never_starts", "ApplicationError: the application returned without calling start_response"),
    ],
)
def test_a_broken_rule_is_told_with_the_name_of_the_application(bare: Server, path: str, error: str) -> None:
    mark = bare.mark()
    answer = bare.get(path)
    assert (answer.status, answer.header("Set-Cookie")) == (500, None)
    failed = bare.wait_for_event("request_failed", after=mark)
    assert (failed["error"], failed["application"]) == (error, "contract:bare")
    assert failed["request"] == f"GET {path} HTTP/1.1"


@pytest.mark.parametrize(
    ("path", "problem"), [("/too_short", "5 bytes shorter"), ("/too_long", "longer than its")]
)
def test_a_wrong_length_is_told_too(bare: Server, path: str, problem: str) -> None:
    mark = bare.mark()
    with bare.connect() as connection:
        try:
            connection.get(path)
        except ConnectionEndedError:
            assert path == "/too_short"
    told = bare.wait_for_event("bad_response", after=mark)
    assert problem in told["problem"]
    assert told["application"] == "contract:bare"


# 103 --------------------------------------------------------------------------------------------------------------------


def test_early_hints(bare: Server) -> None:
    with bare.connect() as connection:
        for _ in range(2):
            answer = connection.get("/hints")
            assert (answer.interim, answer.status, answer.body) == ([103], 200, b"page")
    with bare.connect() as connection:
        answer = connection.request("GET", "/hints", version="HTTP/1.0")
        assert (answer.interim, answer.body) == ([], b"page")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_early_hints_as_curl_sees_them(bare: Server) -> None:
    url = f"http://{bare.address}/hints"
    shown = subprocess.run(["curl", "-si", url, url], capture_output=True, timeout=60, check=True).stdout
    heads = shown.replace(b"\r\n", b"\n")
    assert heads.count(b"HTTP/1.1 103 Early Hints\nLink: </style.css>; rel=preload; as=style\n\n") == 2
    assert heads.count(b"\n\npage") == 2
