"""`prefork --dev` as one works with it: edit, save, look."""

from __future__ import annotations

import threading
from pathlib import Path
from signal import SIGINT

import pytest

from support import http
from support.deadline import Deadline
from support.server import Server, ServerFactory

APP = """\
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{VERSION} {{os.environ.get('COLOUR')}} {{environ['prefork.generation']}}".encode()]
"""


def write(directory: Path, version: str, more: str = "") -> None:
    text = APP.replace("{VERSION}", version).replace("{{", "{").replace("}}", "}")
    (directory / "shop.py").write_text(text + more)


def start(factory: ServerFactory, directory: Path, *arguments: str) -> Server:
    # The log at level info says when and where it serves.
    argv = ["--dev", *arguments, "--bind", "127.0.0.1:0", "--set", "log.level=info"]
    return factory({}, argv=argv, directory=directory)


def until(server: Server, text: str, target: str = "/") -> http.Response:
    """Ask until the answer has `text` in it. Every question has an answer."""
    deadline = Deadline()
    while True:
        answer = server.get(target)
        if text in answer.text:
            return answer
        assert not deadline.passed, f"no {text!r}, but {answer.text!r}"
        deadline.pause()


def ask(server: Server, host: str) -> http.Response:
    """Under another name."""
    with server.connect() as connection:
        connection.send(http.encode("GET", "/", host=host))
        return connection.read_response()


class Asker(threading.Thread):
    """Asks all the time; nobody may be refused, whatever becomes of the code."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._over = threading.Event()
        self.statuses: set[int] = set()
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._over.wait(0.005):
            try:
                self.statuses.add(self._ask().status)
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def _ask(self) -> http.Response:
        try:
            return self._server.get("/")
        except http.ConnectionEndedError:
            # A connection that says nothing for 0.3 seconds (this thread had no processor) is closed with its worker; browsers
            # ask again, too (RFC 9112 section 9.3.1). Being refused, or closed twice, is a failure.
            return self._server.get("/")

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.parametrize("kind", ["stat", "watchfiles"])
def test_edit_save_answer_of_the_new_code(server_factory: ServerFactory, tmp_path: Path, kind: str) -> None:
    if kind == "watchfiles":
        pytest.importorskip("watchfiles")
    write(tmp_path, "one", "def (:\n")  # the first start meets a file that does not compile
    (tmp_path / ".env").write_text("COLOUR=red\n")
    server = start(server_factory, tmp_path, "shop:app", "--set", f"dev.reload={kind}").wait_ready()
    page = server.get("/", [("Accept", "text/html")])
    assert page.status == 500
    assert "SyntaxError" in page.text
    assert "<html" in page.text
    server.wait_for_log("SyntaxError")
    asker = Asker(server)
    asker.start()
    try:
        write(tmp_path, "two")
        assert until(server, "two").text == "two red 1"
        write(tmp_path, "bad", "1 / 0\n")
        answer = until(server, "ZeroDivisionError")
        assert answer.status == 500
        assert (answer.header("Content-Type") or "").startswith("text/plain")
        write(tmp_path, "six")
        assert until(server, "six").text == "six red 1"
        # Of the environment the zygote has the first copy: it takes a generation.
        (tmp_path / ".env").write_text("COLOUR=blue\n")
        assert until(server, "blue").text == "six blue 2"
    finally:
        asker.end()
    assert asker.failures == []
    assert asker.statuses == {200, 500}
    assert server.stop(SIGINT) == 0


def test_code_that_hangs_or_dies_at_import_is_begun_anew_when_it_is_mended(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    write(tmp_path, "one")
    server = start(server_factory, tmp_path, "shop").wait_ready()
    until(server, "one")
    mark = server.mark()
    write(tmp_path, "bad", "import time; time.sleep(1000)\n")
    server.wait_for_event("code_changed", after=mark)
    write(tmp_path, "two")
    until(server, "two")
    mark = server.mark()
    write(tmp_path, "bad", "import os; os._exit(9)\n")
    server.wait_for_event(
        "worker_exited", after=mark, failures="5"
    )  # the next attempt would be in a second or more
    assert server.get("/").text.startswith("two")
    write(tmp_path, "six")
    until(server, "six")


def test_flask_with_the_debugger(server_factory: ServerFactory, tmp_path: Path) -> None:
    pytest.importorskip("flask")
    (tmp_path / "wsgi.py").write_text(
        "import os, flask\n"
        "def create_app():\n"
        "    app = flask.Flask(__name__)\n"
        "    @app.get('/')\n"
        "    def fail():\n"
        "        raise ValueError(f'wrong {os.environ[\"WHO\"]} {app.debug}')\n"
        "    return app\n"
    )
    (tmp_path / ".flaskenv").write_text("FLASK_APP=wsgi:create_app\nWHO='everybody'\n")
    server = start(server_factory, tmp_path).wait_ready()
    server.own_traceback_expected = True  # that of the application goes through Werkzeug's debugger
    server.wait_for_log(r"debugger pin: \d\d\d-\d\d\d-\d\d\d")
    address = server.address
    page = ask(server, address)
    assert page.status == 500
    assert "wrong everybody True" in page.text
    assert "EVALEX = true" in page.text
    assert "EVALEX = false" in ask(server, "evil.example").text
    server.wait_for_log(r"\d\d:\d\d:\d\d GET / 500 [\d.]+m?s [\d.]+kB")
    assert server.stop(SIGINT) == 0


def test_without_the_debugger_and_without_the_reloader(server_factory: ServerFactory, tmp_path: Path) -> None:
    write(tmp_path, "one")
    server = start(server_factory, tmp_path, "shop:app", "--no-debugger", "--no-reload").wait_ready()
    write(tmp_path, "two")
    assert server.get("/").text.startswith("one")
    server.reload()
    until(server, "two")
    assert server.stop(SIGINT) == 0
    assert not any("debugger pin" in line for line in server.log.lines)
