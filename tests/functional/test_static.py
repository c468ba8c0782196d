"""Static files and named files over real sockets: no thread, no descriptor, no memory is held by them."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.deadline import Deadline
from support.gate import Gate
from support.http import encode
from support.server import Server, ServerFactory

MIB = 1024 * 1024
BIG = os.urandom(MIB) * 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("static")
    (path / "style.css").write_text("body{}")
    (path / "big.bin").write_bytes(BIG)
    return path


@pytest.fixture(scope="module", params=[1, 2], ids=["inline", "threads"])
def server(
    request: pytest.FixtureRequest, module_server_factory: ServerFactory, folder: Path
) -> Iterator[Server]:
    settings = {
        "app": {"target": "probe:app"},
        "workers": {"count": 1, "threads": request.param},
        "static": {"/static": {"directory": str(folder)}},
        "log": {"access": "stderr"},
    }
    started = module_server_factory(settings).wait_ready()
    yield started
    started.close()


def descriptors(server: Server) -> int:
    (pid,) = server.workers()
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_files_and_the_application_side_by_side(server: Server) -> None:
    with server.connect() as connection:
        for _ in range(3):
            assert connection.get("/static/style.css").body == b"body{}"
            assert connection.get("/").body == b"Hello, World!"
            assert connection.get("/static/big.bin").body == BIG
            assert connection.get("/static/big.bin", [("Range", "bytes=1-70000")]).body == BIG[1:70001]
            assert connection.get("/static/none").status == 404
            assert connection.get("/staticx").body == b"no such page\n"
            assert connection.request("POST", "/static/style.css", body=b"x" * 1000).status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/static/../probe.py",
        "/static/%2e%2e/probe.py",
        "/static/..%2fprobe.py",
        "/static/%2e%2e%2f%2e%2e%2fetc/passwd",
    ],
)
def test_no_way_out(server: Server, path: str) -> None:
    assert server.get(path).status == 404


def test_they_are_in_the_access_log(server: Server) -> None:
    mark = server.mark()
    server.get("/static/style.css?logged")
    server.wait_for_log(r'"GET /static/style\.css\?logged HTTP/1\.1" 200 6 ', after=mark)


def test_slow_readers_of_files_hold_nobody_and_give_everything_back(server: Server) -> None:
    before = descriptors(server)
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connect(receive_buffer=4096)) for _ in range(20)]
        for connection in slow:
            connection.send(encode("GET", "/static/big.bin"))
            assert connection.read_head().status == 200
        assert descriptors(server) <= before + 2 * len(slow) + 2
        assert server.get("/static/style.css").status == 200
        assert server.get("/").status == 200
        assert slow[0].read_exactly(len(BIG)) == BIG
    deadline = Deadline()
    while descriptors(server) > before:  # until it has seen that they are gone
        assert not deadline.passed
        assert server.get("/").status == 200


def test_files_while_every_thread_is_busy(serve: ServerFactory, folder: Path, gate: Gate) -> None:
    server = serve("probe:app", threads=2, settings={"static": {"/static": {"directory": str(folder)}}})
    with ExitStack() as stack:
        opened = stack.enter_context(server.connect())
        assert opened.get("/").status == 200
        busy = [stack.enter_context(server.connect()) for _ in range(2)]
        for connection in busy:
            mark = server.mark()
            connection.send(encode("GET", f"/gate?path={gate.path}"))
            server.wait_for_log("at the gate", after=mark)
        assert opened.get("/static/style.css").body == b"body{}"  # on a connection that was there
        for _ in range(20):
            assert server.get("/static/big.bin").body == BIG  # and on new ones
        gate.open(2)
        assert [connection.read_response().status for connection in busy] == [200, 200]


def test_a_deploy_that_replaces_the_directory(serve: ServerFactory, tmp_path: Path) -> None:
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "name").write_text(release)
    (tmp_path / "current").symlink_to("one")
    server = serve("probe:app", settings={"static": {"/s": {"directory": str(tmp_path / "current")}}})
    assert server.get("/s/name").body == b"one"
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "current")
    assert server.get("/s/name").body == b"two"


NAMES_A_FILE = """
    def app(environ, start_response):
        start_response("200 OK", [("X-Accel-Redirect", environ["PATH_INFO"]), ("Content-Type", "app/own")])
        return [b"instead"]
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_file_that_the_application_names(
    serve: ServerFactory, folder: Path, tmp_path: Path, threads: int
) -> None:
    (tmp_path / "naming.py").write_text(textwrap.dedent(NAMES_A_FILE))
    settings = {
        "app": {"path": [str(tmp_path)]},
        "server": {"sendfile_header": "X-Accel-Redirect", "sendfile_paths": {"/files": str(folder)}},
    }
    server = serve("naming:app", threads=threads, settings=settings)
    with server.connect() as connection:
        answer = connection.get("/files/big.bin")
        assert (answer.body, answer.header("Content-Type")) == (BIG, "app/own")
        assert answer.header("X-Accel-Redirect") is None
        assert connection.get("/files/big.bin", [("Range", "bytes=-5")]).body == BIG[-5:]
        mark = server.mark()
        assert connection.get("/etc/passwd").status == 500
        server.wait_for_event("request_failed", after=mark, application="naming:app")
