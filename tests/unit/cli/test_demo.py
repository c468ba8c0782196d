"""The demo application, called as a server would."""

from __future__ import annotations

import io
import os
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from prefork.demo import ROUTES, app


def call(target: str, body: bytes = b"", **extra: Any) -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body; checked by the standard library's validator."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": "POST" if body else "GET",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        **extra,
    }
    setup_testing_defaults(environ)
    answers: list[tuple[str, dict[str, str]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        answers.append((status, dict(headers)))
        return lambda data: None

    chunks = validator(app)(environ, start_response)
    try:
        content = b"".join(chunks)
    finally:
        chunks.close()  # type: ignore[attr-defined]  # the validator's iterator has it
    ((status, headers),) = answers
    if "Content-Length" in headers:
        assert int(headers["Content-Length"]) == len(content)
    return status, headers, content


@pytest.mark.parametrize("path", ["/", ""])
def test_the_page_says_who_answered(path: str) -> None:
    status, headers, content = call(path, **{"prefork.worker": 3, "prefork.generation": 17})
    assert status == "200 OK"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    text = content.decode()
    assert "worker 3" in text
    assert "<dd>17</dd>" in text
    assert str(os.getpid()) in text


def test_the_page_works_under_any_server() -> None:
    _, _, content = call("/")
    assert f"process {os.getpid()}" in content.decode()


def test_the_page_shows_text_as_text() -> None:
    _, _, content = call("/", REMOTE_ADDR="<script>")
    assert b"<script>" not in content
    assert b"&lt;script&gt;" in content


@pytest.mark.parametrize(("query", "slept"), [("?seconds=0.25", 0.25), ("?seconds=0", 0.0), ("", 1.0)])
def test_slow_sleeps(monkeypatch: pytest.MonkeyPatch, query: str, slept: float) -> None:
    sleeps: list[float] = []
    monkeypatch.setattr("time.sleep", sleeps.append)
    status, _, content = call(f"/slow{query}")
    assert (status, sleeps) == ("200 OK", [slept])
    assert content.startswith(b"slept for ")


@pytest.mark.parametrize("seconds", ["-1", "61", "soon", "inf", "nan", "1e9"])
def test_slow_refuses_what_is_no_time_to_sleep(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("slept"))
    status, _, content = call(f"/slow?seconds={seconds}")
    assert status == "400 Bad Request"
    assert content == b"seconds must be a number from 0 to 60\n"


@pytest.mark.parametrize("body", [b"", b"x", bytes(range(256)) * 1000])
def test_echo_gives_back_what_it_gets(body: bytes) -> None:
    status, headers, content = call("/echo", body)
    assert (status, headers["Content-Type"]) == ("200 OK", "application/octet-stream")
    assert content == body


def test_headers_shows_the_request() -> None:
    status, _, content = call("/headers?a=b", HTTP_X_SHOP="till\udc80")
    assert status == "200 OK"
    lines = content.decode().splitlines()
    assert "QUERY_STRING = 'a=b'" in lines
    assert "HTTP_X_SHOP = 'till\\udc80'" in lines
    assert "REQUEST_METHOD = 'GET'" in lines


def test_anything_else_is_not_found() -> None:
    status, _, content = call("/nothing")
    assert status == "404 Not Found"
    assert all(path in content.decode() for path in ROUTES)
