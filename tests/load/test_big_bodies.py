"""Bodies far larger than memory should be: what an upload and a download of many MiB cost a worker.

A short form runs with all tests; `make big` runs it with 2 GiB (PREFORK_BIG_MIB=2048).
"""

from __future__ import annotations

import hashlib
import os
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from support.http import encode
from support.measured import Measured
from support.server import APPS, Server, ServerFactory

MIB = 1024 * 1024
SIZE = int(os.environ.get("PREFORK_BIG_MIB", "192")) * MIB
ALLOWED_MIB = 20
BLOCK = os.urandom(MIB)

SENDS_A_FILE = """
    def app(environ, start_response):
        file = open(environ["QUERY_STRING"], "rb")
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return environ["wsgi.file_wrapper"](file)
"""


class Peak:
    """The most memory that a worker had while it was watched, in MiB above its start."""

    mib = 0.0


@contextmanager
def watched(server: Server) -> Iterator[Peak]:
    """Looks at the worker's private memory (USS: file pages that sendfile and the spool go through are the kernel's) a hundred
    times a second."""
    (pid,) = server.workers()
    process = psutil.Process(pid)
    start, peak, stop = process.memory_info().rss - process.memory_info().shared, Peak(), threading.Event()

    def watch() -> None:
        while not stop.wait(0.01):
            info = process.memory_info()
            peak.mib = max(peak.mib, (info.rss - info.shared - start) / MIB)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("big") / "file"
    with path.open("wb") as file:
        for _ in range(SIZE // MIB):
            file.write(BLOCK)
    yield path
    path.unlink()


@pytest.mark.parametrize("buffered", [True, False], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_an_upload(
    serve: ServerFactory, measured: Measured, tmp_path: Path, buffered: bool, coding: str
) -> None:
    requests = {"max_body": 0, "buffer_body": buffered, "body_memory_shared": "8MiB"}
    settings = {"requests": requests}
    server = serve("uploads:app", threads=2, settings=settings, environment={"TMPDIR": str(tmp_path)})
    assert server.request("POST", "/digest", body=b"first").status == 200
    sha256 = hashlib.sha256()
    started = time.monotonic()
    with server.connect() as connection, watched(server) as peak:
        field = ("Content-Length", str(SIZE)) if coding == "length" else ("Transfer-Encoding", "chunked")
        connection.send(encode("POST", "/digest", [field]))
        for _ in range(SIZE // MIB):
            sha256.update(BLOCK)
            if coding == "length":
                connection.send(BLOCK)
            else:
                connection.send(b"%x\r\n" % MIB)
                connection.send(BLOCK)
                connection.send(b"\r\n")
        if coding == "chunked":
            connection.send(b"0\r\n\r\n")
        answer = connection.read_response()
    took = time.monotonic() - started
    assert answer.text == f"{SIZE} {sha256.hexdigest()}"
    measured(f"{SIZE // MIB} MiB up ({coding}) in {took:.1f} s, {peak.mib:.1f} MiB of memory more")
    assert peak.mib < ALLOWED_MIB
    assert list(tmp_path.iterdir()) == []  # spooled in a file without a name


@pytest.mark.parametrize("way", ["file_wrapper", "static"])
def test_a_download(
    serve: ServerFactory, measured: Measured, tmp_path: Path, big_file: Path, way: str
) -> None:
    (tmp_path / "sending.py").write_text(textwrap.dedent(SENDS_A_FILE))
    settings = {
        "app": {"path": [str(tmp_path), str(APPS)]},
        "static": {"/static": {"directory": str(big_file.parent)}},
    }
    server = serve("sending:app", settings=settings)
    target = f"/?{big_file}" if way == "file_wrapper" else "/static/file"
    assert server.request("HEAD", target).header("Content-Length") == str(SIZE)
    sha256, expected = hashlib.sha256(), hashlib.sha256()
    started = time.monotonic()
    with server.connect() as connection, watched(server) as peak:
        connection.send(encode("GET", target))
        assert connection.read_head().header("Content-Length") == str(SIZE)
        for _ in range(SIZE // MIB):
            sha256.update(connection.read_exactly(MIB))
            expected.update(BLOCK)
        took = time.monotonic() - started
        assert sha256.digest() == expected.digest()
        assert connection.get("/static/none").status == 404  # the connection is in step
    measured(f"{SIZE // MIB} MiB down ({way}) in {took:.1f} s, {peak.mib:.1f} MiB of memory more")
    assert peak.mib < ALLOWED_MIB
