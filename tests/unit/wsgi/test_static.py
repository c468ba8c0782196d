"""Static files through the handler: what a client gets for which path and which fields."""

from __future__ import annotations

import email.parser
import email.policy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefork.wsgi.mediatypes import content_type_of
from prefork.wsgi.static import StaticFiles, StaticPlace, relative_path
from support.serving import RecordingLog, hello
from support.wire import Answer
from support.wsgi import Exchange

BIG = bytes(range(256)) * 400
OLD = 1_000_000_000
OLD_DATE = "Sun, 09 Sep 2001 01:46:40 GMT"

Get = Callable[..., Answer]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    files = {
        "a.css": b"body{}",
        "big.bin": BIG,
        "empty": b"",
        "sub/index.html": b"<p>",
        "page.js": b"plain",
        "page.js.gz": b"gzip",
        "page.js.br": b"br",
        ".secret": b"x",
        ".hidden/file": b"x",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (OLD, OLD))
    return tmp_path


@pytest.fixture
def get(folder: Path) -> Iterator[Get]:
    """Asks a StaticFiles and gives what a client makes of the answer; no descriptor may stay open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    log = RecordingLog()

    def ask(path: str, method: str = "GET", fields: str = "", **options: Any) -> Answer:
        place = StaticPlace("/static", str(folder), **options)
        files = StaticFiles([place, StaticPlace("/static/deep", str(folder / "sub"))], log)
        made = Exchange(hello, method, fields=fields)
        made.request.environ["PATH_INFO"] = path
        made.request.environ["QUERY_STRING"] = ""
        assert files.serves(path)
        made.response = made.handler.respond(made.request, True, files)
        while made.pull():
            pass
        made.end()
        assert made.problems == []
        return made.answer()

    yield ask
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_small_and_a_big_file(get: Get) -> None:
    answer = get("/static/a.css")
    assert (answer.status, answer.body) == (200, b"body{}")
    assert answer.one("Content-Type") == b"text/css; charset=utf-8"
    assert answer.one("Content-Length") == b"6"
    assert answer.one("Last-Modified") == OLD_DATE.encode()
    assert answer.one("Accept-Ranges") == b"bytes"
    assert answer.one("Cache-Control") is None
    answer = get("/static/big.bin", cache_control="public, max-age=60")
    assert (answer.status, answer.body) == (200, BIG)
    assert answer.one("Cache-Control") == b"public, max-age=60"
    assert get("/static/empty").body == b""


@pytest.mark.parametrize("name", ["a.css", "big.bin", "empty"])
def test_head(get: Get, name: str) -> None:
    head, whole = get(f"/static/{name}", "HEAD"), get(f"/static/{name}")
    assert (head.status, head.body) == (200, b"")
    assert head.headers == whole.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_other_methods(get: Get, method: str) -> None:
    answer = get("/static/a.css", method)
    assert (answer.status, answer.one("Allow")) == (405, b"GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/static",
        "/static/",
        "/static/none",
        "/static/sub",
        "/static/sub/",
        "/static/../a.css",
        "/static/sub/../a.css",
        "/static/./a.css",
        "/static//a.css",
        "/static//etc/passwd",
        "/static/.secret",
        "/static/.hidden/file",
        "/static/a.css/",
        "/static/a.css/x",
        "/static/\xff\xfe",
        "/static/" + "x" * 5000,
    ],
)
def test_not_found(get: Get, path: str) -> None:
    assert get(path).status == 404


def test_hidden_files_if_wanted(get: Get) -> None:
    assert get("/static/.hidden/file", hidden=True).body == b"x"
    assert get("/static/../.secret", hidden=True).status == 404


def test_the_longest_prefix_is_the_place(get: Get) -> None:
    assert get("/static/deep/index.html").body == b"<p>"


def test_a_prefix_ends_at_a_slash(folder: Path) -> None:
    files = StaticFiles([StaticPlace("/static", str(folder))], RecordingLog())
    paths = ["/static", "/static/x", "/staticx", "/stati", "/", "*", "/Static/x"]
    assert [path for path in paths if files.serves(path)] == ["/static", "/static/x"]


def test_names_are_bytes(get: Get, folder: Path) -> None:
    (folder / "grüße.txt").write_text("hi")
    assert get("/static/" + "grüße.txt".encode().decode("latin-1")).body == b"hi"


def test_index(get: Get) -> None:
    answer = get("/static/sub/", index="index.html")
    assert (answer.body, answer.one("Content-Type")) == (b"<p>", b"text/html; charset=utf-8")
    answer = get("/static/sub", index="index.html")
    assert (answer.status, answer.one("Location")) == (301, b"/static/sub/")
    assert get("/static", index="none").one("Location") == b"/static/"
    assert get("/static/", index="index.html").status == 404
    assert get("/static/", index="sub").status == 404


# Codings ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "coding", "body"),
    [
        ("gzip, deflate, br, zstd", b"br", b"br"),
        ("gzip", b"gzip", b"gzip"),
        ("zstd, gzip;q=0.5", b"gzip", b"gzip"),
        ("zstd", None, b"plain"),
        ("br;q=0, gzip;q=0", None, b"plain"),
        ("identity", None, b"plain"),
    ],
)
def test_precompressed_siblings(get: Get, accept: str, coding: bytes | None, body: bytes) -> None:
    answer = get("/static/page.js", fields=f"Accept-Encoding: {accept}\r\n")
    assert (answer.one("Content-Encoding"), answer.body) == (coding, body)
    assert answer.one("Content-Type") == b"text/javascript; charset=utf-8"
    assert answer.one("Vary") == b"Accept-Encoding"


def test_each_coding_has_a_tag_of_its_own(get: Get) -> None:
    fields = "Accept-Encoding: {}\r\n"
    tags = {get("/static/page.js", fields=fields.format(a)).one("ETag") for a in ("br", "gzip", "identity")}
    assert len(tags) == 3


def test_siblings_only_if_wanted(get: Get) -> None:
    answer = get("/static/page.js", fields="Accept-Encoding: br\r\n", precompressed=False)
    assert (answer.body, answer.one("Vary")) == (b"plain", None)


def test_a_packed_file_that_is_asked_for_by_name_is_itself(get: Get) -> None:
    answer = get("/static/page.js.gz", fields="Accept-Encoding: gzip\r\n")
    assert (answer.one("Content-Type"), answer.one("Content-Encoding")) == (b"application/gzip", None)


# Conditions and ranges ------------------------------------------------------------------------------------------------------


def test_what_the_client_has_is_not_sent_again(get: Get) -> None:
    etag = (get("/static/a.css").one("ETag") or b"").decode()
    options = {"cache_control": "max-age=1"}
    for fields in (f"If-None-Match: {etag}\r\n", f"If-Modified-Since: {OLD_DATE}\r\n"):
        for method in ("GET", "HEAD"):
            answer = get("/static/a.css", method, fields, **options)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.one("ETag") == etag.encode()
            assert answer.one("Cache-Control") == b"max-age=1"
            assert answer.one("Vary") == b"Accept-Encoding"
            assert answer.one("Content-Type") is None
    assert get("/static/a.css", fields='If-None-Match: "other"\r\n').status == 200
    assert get("/static/a.css", fields='If-Match: "other"\r\n').status == 412


def test_a_tag_changes_with_the_file(get: Get, folder: Path) -> None:
    before = get("/static/a.css").one("ETag")
    os.utime(folder / "a.css", ns=(OLD * 10**9, OLD * 10**9 + 1))
    assert get("/static/a.css").one("ETag") != before


@pytest.mark.parametrize(
    ("wanted", "part", "content_range"),
    [
        ("0-0", BIG[:1], "bytes 0-0/102400"),
        ("100-", BIG[100:], "bytes 100-102399/102400"),
        ("-50000", BIG[-50000:], "bytes 52400-102399/102400"),
        ("0-999999", BIG, "bytes 0-102399/102400"),
    ],
)
def test_a_range(get: Get, wanted: str, part: bytes, content_range: str) -> None:
    answer = get("/static/big.bin", fields=f"Range: bytes={wanted}\r\n")
    assert (answer.status, answer.body) == (206, part)
    assert answer.one("Content-Range") == content_range.encode()


def test_several_ranges(get: Get) -> None:
    answer = get("/static/big.bin", fields="Range: bytes=0-9,90000-,500-40500\r\n")
    assert answer.status == 206
    kind = answer.one("Content-Type") or b""
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + kind + b"\r\n\r\n" + answer.body
    )
    parts = [(str(part["Content-Range"]), part.get_payload(decode=True)) for part in message.iter_parts()]
    assert parts == [
        ("bytes 0-9/102400", BIG[:10]),
        ("bytes 90000-102399/102400", BIG[90000:]),
        ("bytes 500-40500/102400", BIG[500:40501]),
    ]
    small = get("/static/a.css", fields="Range: bytes=0-0,-1\r\n")
    assert small.one("Content-Length") == str(len(small.body)).encode()


def test_a_range_behind_the_end(get: Get) -> None:
    answer = get("/static/a.css", fields="Range: bytes=6-\r\n")
    assert (answer.status, answer.one("Content-Range"), answer.body) == (416, b"bytes */6", b"")


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GET", "Range: lines=1-2\r\n"),
        ("GET", "Range: bytes=" + ",".join(["0-0"] * 50) + "\r\n"),
        ("GET", 'Range: bytes=0-0\r\nIf-Range: "other"\r\n'),
        ("GET", "Range: bytes=0-0\r\nIf-Range: Sun, 09 Sep 2001 01:46:41 GMT\r\n"),
        ("HEAD", "Range: bytes=0-0\r\n"),
    ],
)
def test_a_range_that_does_not_apply(get: Get, method: str, fields: str) -> None:
    answer = get("/static/a.css", method, fields)
    assert (answer.status, answer.one("Content-Length")) == (200, b"6")


def test_a_condition_comes_before_a_range(get: Get) -> None:
    etag = (get("/static/a.css").one("ETag") or b"").decode()
    fields = f"Range: bytes=0-0\r\nIf-Range: {etag}\r\n"
    assert get("/static/a.css", fields=fields).body == b"b"
    assert get("/static/a.css", fields=f"{fields}If-None-Match: {etag}\r\n").status == 304


def test_a_range_of_a_coding(get: Get) -> None:
    answer = get("/static/page.js", fields="Accept-Encoding: gzip\r\nRange: bytes=1-2\r\n")
    assert (answer.body, answer.one("Content-Encoding")) == (b"zi", b"gzip")


# Trouble --------------------------------------------------------------------------------------------------------------


def test_out_of_descriptors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("prefork.wsgi.static.open_file", refuse)
    log = RecordingLog()
    answered: list[tuple[str, dict[str, str]]] = []
    environ = {"PATH_INFO": "/static/a.css", "REQUEST_METHOD": "GET"}
    files = StaticFiles([StaticPlace("/static", str(folder))], log)
    files(environ, lambda status, headers: answered.append((status, dict(headers))))
    ((status, headers),) = answered
    assert (status, headers["Retry-After"]) == ("503 Service Unavailable", "1")
    assert log.fields("static_failed") == {"path": "/static/a.css", "error": "Too many open files"}


def test_no_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("prefork.wsgi.static.open_file", refuse)
    answered: list[str] = []
    environ = {"PATH_INFO": "/static/a.css", "REQUEST_METHOD": "GET"}
    files = StaticFiles([StaticPlace("/static", str(folder))], RecordingLog())
    files(environ, lambda status, headers: answered.append(status))
    assert answered == ["403 Forbidden"]


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "relative"),
    [
        ("", b""),
        ("/", b""),
        ("/a", b"a"),
        ("/a/b/", b"a/b/"),
        ("/a..b/...", None),
        ("/a..b/c...", b"a..b/c..."),
        ("/..", None),
        ("/a/..", None),
        ("/a/../", None),
        ("//", None),
        ("/a//b", None),
        ("/a//", None),
        ("/.a", None),
    ],
)
def test_relative_paths(path: str, relative: bytes | None) -> None:
    assert relative_path(path) == relative


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("A.HTML", "text/html; charset=utf-8"),
        ("a.min.js", "text/javascript; charset=utf-8"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.webp", "image/webp"),
        ("a.woff2", "font/woff2"),
        ("a.wasm", "application/wasm"),
        ("dir.html/a", "application/octet-stream"),
        ("a.tar.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_media_types(name: str, kind: str) -> None:
    assert content_type_of(name) == kind
