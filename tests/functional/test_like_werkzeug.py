"""The development server beside Werkzeug's: the same tests drive both through the same interface.

Where the two differ on purpose, a test says what each does, and `docs/development.md` says why: each such place here is marked
with the number of its row there.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import prefork
from support.deadline import DEADLINE_S, SLOWNESS, Deadline, eventually
from support.http import Connection, ConnectionEndedError, connect

werkzeug = pytest.importorskip("werkzeug.serving")

DOCS = Path(prefork.__file__).parents[2] / "docs" / "development.md"
MODULES: dict[str, Any] = {"prefork": prefork, "werkzeug": werkzeug}

Start = Callable[..., Any]


@pytest.fixture(params=["prefork", "werkzeug"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def running(kind: str, app: Any, host: str = "127.0.0.1", **options: Any) -> Iterator[Any]:
    """A server in a thread, as a test suite has it."""
    server = MODULES[kind].make_server(host, 0, app, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(DEADLINE_S * SLOWNESS)
        server.server_close()
        assert not thread.is_alive()


def to(server: Any) -> Connection:
    return connect(f"127.0.0.1:{server.port}")


def hello(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


class Recorder:
    """An application that remembers each environ."""

    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []

    def __call__(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        self.environs.append(environ)
        # Difference 4: to read without a length is to wait for ever there, unless the body has chunks.
        size = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
        self.bodies.append(environ["wsgi.input"].read(size))
        return hello(environ, start_response)


# The object -------------------------------------------------------------------------------------------------------------


def test_attributes(kind: str) -> None:
    with running(kind, hello, threaded=True) as server:
        assert server.host == "127.0.0.1"
        assert server.port == server.server_port == server.server_address[1] == server.socket.getsockname()[1]
        assert server.server_address[0] == "127.0.0.1"
        assert server.fileno() == server.socket.fileno() >= 0
        assert (server.multithread, server.multiprocess) == (True, False)
        assert server.app is hello
        assert server.ssl_context is None
        assert server.address_family == socket.AF_INET
        server.log("info", "%s said", "somebody")
    assert server.fileno() == -1


def test_arguments_that_exclude_each_other(kind: str) -> None:
    with pytest.raises(ValueError, match="thread"):
        MODULES[kind].make_server("127.0.0.1", 0, hello, threaded=True, processes=2)


def test_another_application_while_it_serves(kind: str) -> None:
    with running(kind, hello) as server, to(server) as first:
        assert first.get("/").body == b"hello"
        server.app = lambda environ, start: [hello(environ, start)[0].upper()]
        with to(server) as second:
            assert second.get("/").body == b"HELLO"


def test_one_request(kind: str) -> None:
    server = MODULES[kind].make_server("127.0.0.1", 0, hello)
    with server, to(server) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        server.handle_request()
        assert client.read_response().body == b"hello"
        server.timeout = 0
        server.handle_request()  # nobody is there


def test_an_inherited_socket(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with running(kind, hello, fd=listener.fileno()) as server, to(server) as client:
            assert server.port == listener.getsockname()[1]
            assert client.get("/").body == b"hello"
        assert listener.getsockname()[1] == server.port, "ours is still open"


def test_an_address_in_use(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Difference 1: Werkzeug ends the program."""
    with running(kind, hello) as server:
        error = SystemExit if kind == "werkzeug" else prefork.errors.ListenError
        with pytest.raises(error) as raised:
            MODULES[kind].make_server("127.0.0.1", server.port, hello)
        said = capfd.readouterr().err if kind == "werkzeug" else str(raised.value)
        assert str(server.port) in said
        assert "in use" in said or "another server of this process" in said


# Requests ---------------------------------------------------------------------------------------------------------------

REQUEST = (
    b"POST /a%20b//%C3%A4?x=%31&y HTTP/1.1\r\nHost: example.org:99\r\nX-One: 1\r\nX-One: 2\r\nX_Under: 3\r\n"
    b"Content-Type: text/x\r\nContent-Length: 3\r\nCookie: a=1\r\nCookie: b=2\r\n\r\nabc"
)

SAME = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/a b//Ã¤",
    "QUERY_STRING": "x=%31&y",
    "REQUEST_URI": "/a%20b//%C3%A4?x=%31&y",
    "RAW_URI": "/a%20b//%C3%A4?x=%31&y",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_NAME": "127.0.0.1",
    "REMOTE_ADDR": "127.0.0.1",
    "CONTENT_TYPE": "text/x",
    "CONTENT_LENGTH": "3",
    "HTTP_HOST": "example.org:99",
    "HTTP_X_ONE": "1,2",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}

DIFFERENT: dict[str, dict[str, Any]] = {
    # Difference 2
    "prefork": {"HTTP_COOKIE": "a=1; b=2", "wsgi.input_terminated": True, "HTTPS": None},
    "werkzeug": {"HTTP_COOKIE": "a=1,b=2", "wsgi.input_terminated": None, "HTTPS": None},
}


def test_environ(kind: str) -> None:
    app = Recorder()
    with running(kind, app, threaded=True) as server, to(server) as client:
        client.send(REQUEST)
        assert client.read_response().status == 200
        (environ,) = app.environs
        assert {key: environ.get(key) for key in SAME} == SAME
        different = DIFFERENT[kind]
        assert {key: environ.get(key) for key in different} == different
        assert environ["SERVER_PORT"] == str(server.port)
        assert int(environ["REMOTE_PORT"]) == client.sock.getsockname()[1]
        assert isinstance(environ["REMOTE_PORT"], int) == (kind == "werkzeug")  # difference 2
        assert environ["SERVER_SOFTWARE"].startswith(f"{kind}/".title() if kind == "werkzeug" else "prefork/")
        assert not [key for key in environ if "UNDER" in key]
        assert app.bodies == [b"abc"]
        # A connection for each request there, as many as one likes here: difference 3.
        assert client.ended() if kind == "werkzeug" else client.get("/").body == b"hello"


def test_an_absolute_target(kind: str) -> None:
    app = Recorder()
    with running(kind, app) as server, to(server) as client:
        client.send(b"GET http://other.test/x HTTP/1.1\r\nHost: example.org\r\n\r\n")
        assert client.read_response().status == 200
    assert app.environs[0]["HTTP_HOST"] == "other.test"
    assert app.environs[0]["PATH_INFO"] == "/x"


def test_chunks_in(kind: str) -> None:
    app = Recorder()
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running(kind, app) as server:
        with to(server) as client:
            client.send(head + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
            assert client.read_response().status == 200
        assert app.bodies == [b"abcdefg"]
        assert app.environs[0]["wsgi.input_terminated"]
        with to(server) as client:
            # Difference 4: here an application is never called with half a body.
            client.send(head + b"3\r\nabcX\r\n0\r\n\r\n")
            assert client.read_response().status == (400 if kind == "prefork" else 500)
    assert len(app.environs) == (1 if kind == "prefork" else 2)


def test_chunks_out(kind: str) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        yield b"two"

    with running(kind, app, threaded=True) as server, to(server) as client:
        answer = client.get("/")
    assert answer.header("Transfer-Encoding") == "chunked"
    assert answer.chunks == [b"one", b"two"]


def test_expectations(kind: str) -> None:
    app = Recorder()
    with running(kind, app, threaded=True) as server, to(server) as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client._read_through(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send(b"ok")
        assert client.read_response().status == 200
    assert app.bodies == [b"ok"]


def test_the_head_of_a_response(kind: str) -> None:
    with running(kind, hello) as server, to(server) as client:
        answer = client.request("HEAD", "/")
        assert answer.status == 200
        if kind == "werkzeug":  # difference 9
            assert client.read_to_end() == b"hello"
        else:
            assert client.get("/").body == b"hello"
        assert answer.header("Date")
        assert str(answer.header("Server")).lower().startswith(kind)


# Errors -----------------------------------------------------------------------------------------------------------------


def broken(environ: dict[str, Any], start_response: Start) -> Any:
    raise RuntimeError("broken application")


def test_an_error_in_the_application(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), running(kind, broken) as server:
        for _ in range(2):
            with to(server) as client:
                assert client.get("/").status == 500
        eventually(lambda: caplog.text.count('"GET / HTTP/1.1" 500 ') == 2, "the access lines")
    assert caplog.text.count("RuntimeError: broken application") >= 2
    assert "Error on request" in caplog.text
    assert "test_like_werkzeug.py" in caplog.text, "the traceback"
    assert {record.name for record in caplog.records} == {kind}


def test_an_error_in_the_middle(kind: str) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        raise RuntimeError("broken application")

    with running(kind, app, threaded=True) as server, to(server) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"one"
        if kind == "prefork":  # difference 5: there the text of an error page goes on behind it
            with pytest.raises(ConnectionEndedError):
                client.read_chunk()
        else:
            assert b"Internal Server Error" in client.read_to_end()


def test_errors_that_pass_through(kind: str) -> None:
    server = MODULES[kind].make_server("127.0.0.1", 0, broken, passthrough_errors=True)
    caught: list[BaseException] = []
    accepted: list[socket.socket] = []
    if kind == "werkzeug":  # which never closes it
        take = server.get_request

        def get_request() -> Any:
            sock, peer = take()
            accepted.append(sock)
            return sock, peer

        server.get_request = get_request

    def serve() -> None:
        try:
            server.serve_forever()
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    with to(server) as client:
        if kind == "prefork":  # difference 6
            assert client.get("/").status == 500
        else:  # no answer, and no end of the connection either
            client.send(b"GET / HTTP/1.0\r\n\r\n")
        thread.join(DEADLINE_S * SLOWNESS)
    assert [str(error) for error in caught] == ["broken application"]
    for sock in accepted:
        sock.close()


def test_what_is_no_http(kind: str) -> None:
    with running(kind, broken) as server, to(server) as client:
        client.send(b"what is this\r\n\r\n")
        assert b"400" in client.read_to_end()


# The handler --------------------------------------------------------------------------------------------------------------


def handler_of(kind: str, calls: list[Any]) -> Any:
    """Every point of extension, written as for Werkzeug."""
    base = prefork.WSGIRequestHandler if kind == "prefork" else werkzeug.WSGIRequestHandler

    class Handler(base):  # type: ignore[misc,valid-type]
        server_version = "mine/1"

        def version_string(self) -> str:
            return f"{self.server_version} (really)"

        def make_environ(self) -> dict[str, Any]:
            environ: dict[str, Any] = super().make_environ()
            environ["mine"] = (self.command, self.path, self.request_version, self.headers["X-A"])
            environ["client"] = (self.address_string(), self.port_integer(), self.client_address[0])
            environ["flags"] = (self.server.multithread, self.server.multiprocess)
            return environ

        def run_wsgi(self) -> None:
            calls.append("run_wsgi")
            super().run_wsgi()

        def address_string(self) -> str:
            return "somebody"

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            calls.append(("log_request", int(code)))
            self.log("info", "mine: %s", int(code))

        def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
            assert environ["PATH_INFO"] == "/large"
            calls.append(("dropped", isinstance(error, ConnectionError)))

    return Handler


def test_a_handler_of_ones_own(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Any] = []
    app = Recorder()
    with caplog.at_level(logging.INFO):
        with running(kind, app, request_handler=handler_of(kind, calls)) as server, to(server) as client:
            answer = client.get("/x?y", [("X-A", "1")])
            port = client.sock.getsockname()[1]
            eventually(lambda: len(calls) == 2, "log_request")
        assert answer.header("Server") == "mine/1 (really)"
        # Difference 7: there log_request comes with the head of the response, here at its end.
        assert calls == ["run_wsgi", ("log_request", 200)]
        assert re.search(r"somebody - - .*mine: 200", caplog.text)
    (environ,) = app.environs
    assert environ["SERVER_SOFTWARE"] == "mine/1"
    assert environ["mine"] == ("GET", "/x?y", environ["SERVER_PROTOCOL"], "1")
    assert environ["client"] == ("somebody", port, "127.0.0.1")
    assert environ["flags"] == (False, False)


def test_a_client_that_goes_away(kind: str) -> None:
    calls: list[Any] = []

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        deadline = Deadline()
        while not deadline.passed:
            yield b"x" * 100_000

    with running(kind, app, request_handler=handler_of(kind, calls), threaded=True) as server:
        with to(server) as client:
            client.send(b"GET /large HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n\r\n")
            client.read_exactly(50_000)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        eventually(lambda: ("dropped", True) in calls, "connection_dropped")


# TLS, unix sockets, files, reloader --------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", ["adhoc", "pair", "context"])
def test_tls(kind: str, made: str, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    given: Any = made
    if made != "adhoc":
        werkzeug.make_ssl_devcert(str(tmp_path / "dev"), host="localhost")
        given = (str(tmp_path / "dev.crt"), str(tmp_path / "dev.key"))
    if made == "context":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*given)
        given = context
    app = Recorder()
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with running(kind, app, ssl_context=given, threaded=True) as server:
        assert isinstance(server.ssl_context, ssl.SSLContext)
        plain = socket.create_connection(("127.0.0.1", server.port))
        with Connection(trusting.wrap_socket(plain, server_hostname="localhost")) as client:
            assert client.get("/").body == b"hello"
    assert app.environs[0]["wsgi.url_scheme"] == "https"


def test_a_unix_socket(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "dev.sock"
    app = Recorder()
    with running(kind, app, f"unix://{path}") as server:
        assert server.server_address == str(path)
        with connect(f"unix:{path}") as client:
            assert client.get("/").body == b"hello"
    assert path.exists() == (kind == "werkzeug")  # difference 8
    (environ,) = app.environs
    assert environ["REMOTE_ADDR"] == ("" if kind == "prefork" else "<local>")  # difference 2
    assert int(environ.get("REMOTE_PORT", 0)) == 0


SIMPLE = """
import os, sys
from {module} import run_simple

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"first", b" %d" % os.getpid()]

if __name__ == "__main__":
    run_simple(sys.argv[1], int(sys.argv[2]), app, use_reloader=True, reloader_type="stat", reloader_interval=0.1,
               static_files={{"/files": sys.argv[3], "/one": sys.argv[3] + "/a.txt", "/mail": ("email", "mime")}})
"""


def test_run_simple(kind: str, tmp_path: Path) -> None:
    """Static files, the reloader, and a socket that is there all the time."""
    program, files = tmp_path / "program.py", tmp_path / "files"
    module = "prefork" if kind == "prefork" else "werkzeug.serving"
    program.write_text(SIMPLE.format(module=module))
    files.mkdir()
    (files / "a.txt").write_text("a file")
    (files / ".hidden").write_text("a secret")
    # Its words go to a file, not a pipe: nobody would read it meanwhile, and a thousand access lines fill one.
    path, said = tmp_path / "simple.sock", tmp_path / "said"
    with (
        said.open("w") as out,
        subprocess.Popen(
            [sys.executable, program, f"unix://{path}", "0", files],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(prefork.__file__).parents[1]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            eventually(path.exists, "the socket")

            def get(target: str) -> Any:
                with connect(f"unix:{path}") as client:
                    return client.get(target)

            eventually(lambda: _answers(path), "the listening socket")
            body = get("/").body
            assert body.startswith(b"first ")
            for target in ("/files/a.txt", "/one"):
                answer = get(target)
                assert (answer.body, answer.header("Content-Type")) == (
                    b"a file",
                    "text/plain; charset=utf-8",
                )
                tag = str(answer.header("ETag"))
                with connect(f"unix:{path}") as client:
                    assert client.get(target, [("If-None-Match", tag)]).status == 304
            assert b"MIMEText" in get("/mail/text.py").body
            for target in ("/files", "/files/", "/files/none", "/files/../program.py"):
                assert get(target).body.startswith(b"first "), target  # the application's
            # Difference 10
            assert get("/one/a.txt").body.startswith(b"first " if kind == "prefork" else b"a file")
            assert get("/files/.hidden").body.startswith(b"first " if kind == "prefork" else b"a secret")
            assert ("max-age" in str(get("/one").header("Cache-Control"))) == (kind == "werkzeug")
            program.write_text(program.read_text().replace('b"first"', 'b"second"'))
            deadline = Deadline()
            while (now := get("/").body).startswith(b"first "):
                assert now == body, "restarted with the old code"
                assert not deadline.passed
        finally:
            # How Werkzeug's two processes take a Ctrl-C in the middle of a restart is its own affair: now and then they stay.
            os.killpg(process.pid, signal.SIGINT if kind == "prefork" else signal.SIGKILL)
            try:
                process.wait(DEADLINE_S * SLOWNESS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # or leaving `with` would wait for ever
                raise
    output = said.read_text()
    assert f"unix://{path}" in output, "where it runs"
    assert output.count("CTRL+C") == 1
    assert "Detected change in" in output
    assert "Traceback" not in output.replace("KeyboardInterrupt", "") or kind == "werkzeug"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


# The page -----------------------------------------------------------------------------------------------------------------


def test_every_difference_marked_here_is_on_the_page() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    marked = {int(number) for number in re.findall(r"ifference (\d+)", here)}
    listed = {
        int(number) for number in re.findall(r"^\| (\d+) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert marked
    assert marked <= listed
