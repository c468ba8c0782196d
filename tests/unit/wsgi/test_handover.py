"""X-Sendfile and X-Accel-Redirect: which files an application may name, and what becomes of its response."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from prefork.wsgi.handover import FileHandOver
from support.wsgi import Exchange, exchange

Start = Callable[..., Any]
OLD = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files" / "sub").mkdir(parents=True)
    (tmp_path / "files" / "report 1.pdf").write_bytes(b"%PDF" * 20000)
    (tmp_path / "files" / "sub" / "a.txt").write_bytes(b"text")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "files" / "out").symlink_to("../secret")
    os.utime(tmp_path / "files" / "sub" / "a.txt", (OLD, OLD))
    return tmp_path


class Body:
    """An iterable that remembers whether it was closed."""

    def __init__(self, *items: bytes) -> None:
        self.items = items
        self.closed = 0

    def __iter__(self) -> Iterable[bytes]:
        return iter(self.items)  # type: ignore[return-value]

    def close(self) -> None:
        self.closed += 1


def send(
    folder: Path,
    named: str | None,
    header: str = "X-Sendfile",
    *more: tuple[str, str],
    status: str = "200 OK",
    **options: Any,
) -> tuple[Exchange, Body]:
    body = Body(b"instead")

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response(status, [*more, *([(header, named)] if named else [])])
        return body

    places = {str(folder / "files"): str(folder / "files"), "/protected": str(folder / "files")}
    return exchange(FileHandOver(app, header.upper(), places), **options), body


def test_a_named_file_takes_the_place_of_the_body(folder: Path) -> None:
    done, body = send(
        folder, f"{folder}/files/report 1.pdf", "X-Sendfile", ("Content-Length", "0"), ("X-Own", "1")
    )
    answer = done.answer()
    assert (answer.status, answer.body) == (200, b"%PDF" * 20000)
    assert answer.one("Content-Type") == b"application/pdf"
    assert answer.one("X-Own") == b"1"
    assert answer.one("X-Sendfile") is None
    assert body.closed == 1


def test_a_name_may_be_escaped_for_the_header_that_is_a_uri(folder: Path) -> None:
    done, _ = send(folder, "/protected/report%201.pdf?x=1", "X-Accel-Redirect")
    assert done.answer().body == b"%PDF" * 20000
    done, _ = send(folder, "/protected/sub/%61.txt", "X-Sendfile")
    assert done.answer().status == 500


def test_without_the_header_nothing_changes(folder: Path) -> None:
    done, body = send(folder, None)
    assert done.answer().body == b"instead"
    assert body.closed == 1


@pytest.mark.parametrize(
    "named",
    [
        "{tmp}/secret",
        "{tmp}/files/../secret",
        "{tmp}/files/sub/../../secret",
        "{tmp}/files/out",
        "{tmp}/files/none",
        "{tmp}/files/sub",
        "{tmp}/files/",
        "{tmp}/files",
        "{tmp}/files//sub/a.txt",
        "{tmp}/filesystem",
        "/protected/%2e%2e/secret",
        "/protected/..%2fsecret",
        "/etc/passwd",
        "files/sub/a.txt",
        "/",
    ],
)
@pytest.mark.parametrize("header", ["X-Sendfile", "X-Accel-Redirect"])
def test_nothing_else_is_sent(folder: Path, named: str, header: str) -> None:
    done, body = send(folder, named.format(tmp=folder), header)
    answer = done.answer()
    assert (answer.status, answer.body) == (500, b"500 Internal Server Error\n")
    assert done.log.events == ["request_failed"]
    assert named.format(tmp=folder) in str(done.log.fields("request_failed")["error"])
    assert body.closed == 1


def test_conditions_and_ranges(folder: Path) -> None:
    name = f"{folder}/files/sub/a.txt"
    done, _ = send(folder, name, fields="Range: bytes=1-2\r\n")
    assert (done.answer().status, done.answer().body) == (206, b"ex")
    done, _ = send(folder, name, fields="If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\n")
    assert done.answer().status == 304
    own = (("ETag", '"mine"'), ("Cache-Control", "private"))
    done, _ = send(folder, name, "X-Sendfile", *own, fields='If-None-Match: "mine"\r\n')
    assert (done.answer().status, done.answer().one("ETag")) == (304, b'"mine"')
    assert done.answer().one("Cache-Control") == b"private"


def test_the_status_of_the_application_stays(folder: Path) -> None:
    name = f"{folder}/files/sub/a.txt"
    done, _ = send(folder, name, status="404 Not Found", fields="Range: bytes=1-2\r\n")
    assert (done.answer().status, done.answer().body) == (404, b"text")


def test_head(folder: Path) -> None:
    done, _ = send(folder, f"{folder}/files/sub/a.txt", method="HEAD")
    assert (done.answer().status, done.answer().body, done.answer().one("Content-Length")) == (200, b"", b"4")


def test_an_application_that_starts_its_response_late(folder: Path) -> None:
    closed = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        try:
            start_response("200 OK", [("X-Sendfile", f"{folder}/files/sub/a.txt")])
            yield b"instead"
        finally:
            closed.append(True)

    done = exchange(FileHandOver(app, "X-Sendfile", {f"{folder}/files": f"{folder}/files"}))
    assert done.answer().body == b"text"
    assert closed == [True]


@pytest.mark.parametrize("items", [(), (b"",), (b"a",), (b"a", b"b")])
def test_a_late_response_without_the_header(folder: Path, items: tuple[bytes, ...]) -> None:
    closed = []

    def app(environ: dict[str, Any], start_response: Start) -> Any:
        try:
            start_response("200 OK", [])
            yield from items
        finally:
            closed.append(True)

    done = exchange(FileHandOver(app, "X-Sendfile", {f"{folder}/files": f"{folder}/files"}))
    assert done.answer().body == b"".join(items)
    assert closed == [True]


def test_an_error_page_after_all(folder: Path) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [("X-Sendfile", f"{folder}/files/sub/a.txt")])
        try:
            raise KeyError("x")
        except KeyError as error:
            start_response("500 Oh no", [], (KeyError, error, error.__traceback__))
        return [b"sorry"]

    done = exchange(FileHandOver(app, "X-Sendfile", {f"{folder}/files": f"{folder}/files"}))
    assert (done.answer().status, done.answer().body) == (500, b"sorry")


def test_start_response_twice(folder: Path) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        for _ in range(2):
            start_response("200 OK", [("X-Sendfile", f"{folder}/files/sub/a.txt")])
        return []

    done = exchange(FileHandOver(app, "X-Sendfile", {f"{folder}/files": f"{folder}/files"}))
    assert done.answer().status == 500
