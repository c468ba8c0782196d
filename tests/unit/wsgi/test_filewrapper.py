"""wsgi.file_wrapper: what the kernel may send by itself, and everything else."""

# ruff: noqa: SIM115 - the server closes the files
from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from prefork.wsgi.filewrapper import FileSpan, FileWrapper
from support.wire import WireError, parse_answer
from support.wsgi import exchange

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(CONTENT)
    return made


def serving(
    file: Any, headers: list[tuple[str, str]] | None = None, status: str = "200 OK", block: int = 1000
) -> Any:
    """An application that hands over `file`."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(status, headers or [("Content-Type", "application/octet-stream")])
        return environ["wsgi.file_wrapper"](file, block)

    return app


def test_it_iterates_in_blocks() -> None:
    assert list(FileWrapper(io.BytesIO(b"abcdefg"), 3)) == [b"abc", b"def", b"g"]
    assert list(FileWrapper(io.BytesIO(b""))) == []


def test_it_has_close_exactly_when_the_file_has() -> None:
    class NoClose:
        def read(self, size: int) -> bytes:
            return b""

    assert not hasattr(FileWrapper(NoClose()), "close")  # type: ignore[arg-type]
    file = io.BytesIO()
    FileWrapper(file).close()
    assert file.closed


@pytest.mark.parametrize("offset", [0, 1, 5000, len(CONTENT) - 1])
@pytest.mark.parametrize("buffering", [-1, 0])
def test_span_is_the_rest_of_the_file(path: Path, offset: int, buffering: int) -> None:
    with open(path, "rb", buffering=buffering) as file:
        file.seek(0)
        file.read(offset)
        assert FileWrapper(file).span() == FileSpan(file.fileno(), offset, len(CONTENT) - offset)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: io.BytesIO(CONTENT),
        lambda path: gzip.open(path, "rb"),
        lambda path: io.BufferedReader(gzip.open(path, "rb")),
        lambda path: open(path, encoding="latin-1"),
        lambda path: open("/dev/null", "rb"),
        lambda path: open("/proc/self/status", "rb"),
    ],
    ids=["memory", "gzip", "buffered gzip", "text", "device", "proc: no size, and yet content"],
)
def test_no_span(path: Path, make: Callable[[Path], IO[Any]]) -> None:
    with make(path) as file:
        assert FileWrapper(file).span() is None


def test_no_span_of_a_closed_file_or_a_pipe(path: Path) -> None:
    with open(path, "rb") as closed:
        pass
    assert FileWrapper(closed).span() is None
    reader, writer = os.pipe()
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert FileWrapper(pipe).span() is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("named", [False, True])
def test_a_file_is_sent_and_closed(path: Path, method: str, version: str, named: bool) -> None:
    file: Any = tempfile.NamedTemporaryFile() if named else open(path, "r+b")
    file.write(CONTENT)
    file.seek(10)
    done = exchange(serving(file), method, version=version, fields="Connection: keep-alive\r\n")
    answer = done.answer()
    assert answer.body == (b"" if method == "HEAD" else CONTENT[10:])
    if method == "GET":
        assert answer.one("content-length") == b"%d" % (len(CONTENT) - 10)
        assert done.response.keep_alive
    assert file.closed
    assert done.problems == []
    assert done.access.lines == [("/p/a", 200, len(answer.body))]


@pytest.mark.parametrize("position", [len(CONTENT), len(CONTENT) + 5])
def test_nothing_left_of_the_file(path: Path, position: int) -> None:
    file = open(path, "rb")
    file.seek(position)
    answer = exchange(serving(file)).answer()
    assert (answer.body, answer.one("content-length")) == (b"", b"0")
    assert file.closed


def test_content_of_proc_is_sent() -> None:
    answer = exchange(serving(open("/proc/version", "rb"))).answer()
    assert answer.body == Path("/proc/version").read_bytes()
    assert answer.body


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_file_is_not_sent_with_a_status_without_body(path: Path, status: str) -> None:
    file = open(path, "rb")
    answer = exchange(serving(file, [("X", "y")], status)).answer()
    assert (answer.status, answer.body) == (int(status[:3]), b"")
    assert file.closed


@pytest.mark.parametrize("declared", [0, 1, 1000, len(CONTENT)])
@pytest.mark.parametrize("real", [False, True])
def test_no_more_than_declared_is_sent(path: Path, declared: int, real: bool) -> None:
    file: Any = open(path, "rb") if real else io.BytesIO(CONTENT)
    done = exchange(serving(file, [("Content-Length", str(declared))]))
    assert done.answer().body == CONTENT[:declared]
    assert done.response.keep_alive
    assert file.closed


@pytest.mark.parametrize("real", [False, True])
def test_a_file_shorter_than_declared_closes_the_connection(path: Path, real: bool) -> None:
    file: Any = open(path, "rb") if real else io.BytesIO(CONTENT)
    done = exchange(serving(file, [("Content-Length", str(len(CONTENT) + 1))]))
    assert not done.response.keep_alive
    assert done.problems == ["bad_response"]
    with pytest.raises(WireError):
        parse_answer(done.raw)


def test_what_is_no_file_on_disk_is_iterated() -> None:
    file = io.BytesIO(CONTENT)
    answer = exchange(serving(file)).answer()
    assert answer.body == CONTENT
    assert answer.one("transfer-encoding") == b"chunked"
    assert file.closed


def test_write_and_then_a_file(path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response("200 OK", [("Content-Type", "x/y")])(b"first")
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    assert exchange(app).answer().body == b"first" + CONTENT


def test_a_file_without_start_response(path: Path) -> None:
    file = open(path, "rb")
    done = exchange(lambda environ, start_response: environ["wsgi.file_wrapper"](file))
    assert done.answer().status == 500
    assert file.closed


def test_reading_text_is_the_applications_error(path: Path) -> None:
    done = exchange(serving(open(path, encoding="latin-1")))
    assert done.answer().status == 500
    assert "it gave str" in str(done.log.fields("request_failed")["error"])
