"""The object that `prefork.make_server` gives: its life, from any thread, a thousand times."""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import prefork
from prefork.dev.server import THREADS, WSGIServer, make_server
from prefork.errors import BootError, ListenError
from support.child import run
from support.deadline import DEADLINE_S, SLOWNESS, eventually
from support.http import ConnectionEndedError, connect
from support.measured import Measured
from support.serving import hello

WAIT_S = DEADLINE_S * SLOWNESS

Start = Callable[..., Any]


@contextmanager
def serving(server: WSGIServer) -> Iterator[threading.Thread]:
    """The server in a thread."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield thread
    finally:
        server.shutdown()
        thread.join(WAIT_S)
        assert not thread.is_alive()


def local(app: Any, **options: Any) -> WSGIServer:
    return make_server("127.0.0.1", 0, app, **options)


def get(server: WSGIServer, target: str = "/") -> bytes:
    with connect(f"127.0.0.1:{server.port}") as client:
        return client.get(target).body


class Blocking:
    """An application whose requests for /wait do not return before `go`."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.go = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Start) -> list[bytes]:
        if environ["PATH_INFO"] == "/wait":
            self.inside.release()
            assert self.go.wait(WAIT_S)
        return hello(environ, start_response)


# Starting and stopping ----------------------------------------------------------------------------------------------------


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.parametrize("threaded", [False, True])
def test_started_and_stopped_hundreds_of_times(
    threaded: bool, measured: Measured, caplog: pytest.LogCaptureFixture
) -> None:
    """`PREFORK_TEST_STARTS=1000` for the whole thousand."""
    times = int(os.environ.get("PREFORK_TEST_STARTS", "200"))
    caplog.set_level(logging.WARNING, logger="prefork")  # or it keeps each line

    def once() -> None:
        server = local(hello, threaded=threaded)
        with serving(server):
            assert get(server) == b"hello"

    for _ in range(20):
        once()
    gc.collect()
    before = (descriptors(), threading.active_count())
    memory = resident_kib()
    for _ in range(times):
        once()
    gc.collect()
    assert (descriptors(), threading.active_count()) == before
    grown = resident_kib() - memory
    measured(f"make_server(threaded={threaded}), {times} times: {grown} KiB more")
    assert grown < 4096


def test_shutdown_before_it_serves() -> None:
    server = local(hello)
    server.shutdown()
    server.shutdown()
    server.serve_forever()
    assert server.fileno() == -1
    server.serve_forever()
    server.handle_request()
    server.server_close()


def test_shutdown_at_any_moment() -> None:
    for _ in range(50):
        server = local(hello)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.shutdown()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        assert server.fileno() == -1


def test_shutdown_from_many_threads() -> None:
    server = local(hello)
    with serving(server):
        assert get(server) == b"hello"
        threads = [threading.Thread(target=server.shutdown) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()


@pytest.mark.parametrize("threaded", [False, True])
def test_shutdown_by_a_request(threaded: bool) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        server.shutdown()
        return hello(environ, start_response)

    server = local(app, threaded=threaded)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    assert get(server) == b"hello"
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_close_ends_a_server_that_serves() -> None:
    with local(hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert get(server) == b"hello"
    thread.join(WAIT_S)
    assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        get(server)


def test_who_serves_twice() -> None:
    server = local(hello)
    with serving(server):
        assert get(server) == b"hello"
        with pytest.raises(RuntimeError, match="serves already"):
            server.serve_forever()
        with pytest.raises(RuntimeError, match="serves already"):
            server.handle_request()
        assert get(server) == b"hello"


def test_what_runs_is_answered_at_the_end() -> None:
    app = Blocking()
    server = local(app, threaded=True)
    with serving(server), connect(f"127.0.0.1:{server.port}") as client:
        client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        assert app.inside.acquire(timeout=WAIT_S)
        stopping = threading.Thread(target=server.shutdown)
        stopping.start()
        app.go.set()
        assert client.read_response().body == b"hello"
        stopping.join(WAIT_S)


def test_who_waits_in_the_backlog_is_answered_at_the_end() -> None:
    app = Blocking()
    server = local(app)
    with serving(server), connect(f"127.0.0.1:{server.port}") as first:
        first.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        assert app.inside.acquire(timeout=WAIT_S)
        with connect(f"127.0.0.1:{server.port}") as second:
            second.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            stopping = threading.Thread(target=server.shutdown)
            stopping.start()
            app.go.set()
            assert first.read_response().body == b"hello"
            assert second.read_response().body == b"hello"
            stopping.join(WAIT_S)


def test_a_request_that_does_not_end_is_left_behind() -> None:
    app = Blocking()
    before = descriptors()
    server = local(app, threaded=True)
    with connect(f"127.0.0.1:{server.port}") as client:
        with serving(server):
            client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            assert app.inside.acquire(timeout=WAIT_S)
        assert server.fileno() == -1
        app.go.set()  # its thread ends now, and what it needed goes with it
        assert client.read_to_end().endswith(b"hello")
    eventually(lambda: not [t for t in threading.enumerate() if t.name.startswith("prefork-")], "their end")
    assert descriptors() == before


def test_a_response_that_nobody_reads_is_closed_at_the_end() -> None:
    closed = threading.Event()

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    server = local(app)
    with connect(f"127.0.0.1:{server.port}", receive_buffer=4096) as client, serving(server):
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.read_exactly(1000)
    assert closed.is_set()


# Requests -----------------------------------------------------------------------------------------------------------------


def test_threads_are_made_as_they_are_needed() -> None:
    app = Blocking()
    server = local(app, threaded=True)
    assert THREADS >= 100
    before = threading.active_count()
    with serving(server):
        for _ in range(30):
            assert get(server) == b"hello"
        # A thread that has just answered may be taken for busy still.
        assert threading.active_count() < before + 10, "one for each request"
        clients = [connect(f"127.0.0.1:{server.port}") for _ in range(40)]
        for client in clients:
            client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            assert app.inside.acquire(timeout=WAIT_S)
        assert get(server) == b"hello", "held by the others"
        app.go.set()
        for client in clients:
            assert client.read_response().body == b"hello"
            client.close()
    assert threading.active_count() == before


def test_nobody_comes() -> None:
    class Impatient(WSGIServer):
        waits = 0

        def handle_timeout(self) -> None:
            self.waits += 1

    with Impatient("127.0.0.1", 0, hello) as server:
        server.timeout = 0.01
        server.handle_request()
        assert server.waits == 1
        server.timeout = None
        with connect(f"127.0.0.1:{server.port}") as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            server.handle_request()
            answer = client.read_response()
            assert (answer.body, answer.closes, server.waits) == (b"hello", True, 1)


def test_one_request_after_the_other() -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        seen.append(environ["PATH_INFO"])
        return hello(environ, start_response)

    for threaded in (False, True):
        with local(app, threaded=threaded) as server:
            clients = [connect(f"127.0.0.1:{server.port}") for _ in range(3)]
            for number, client in enumerate(clients):
                client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            for number in range(3):
                server.handle_request()
                assert len(seen) == number + 1
            for client in clients:
                assert client.read_response().body == b"hello"
                client.close()
        assert sorted(seen) == ["/0", "/1", "/2"]
        seen.clear()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_what_ends_a_program_ends_the_server(error: BaseException) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        raise error

    server = local(app)
    caught: list[BaseException | None] = []

    def serve() -> None:
        try:
            server.serve_forever()
            caught.append(None)
        except SystemExit as raised:
            caught.append(raised)

    thread = threading.Thread(target=serve)
    thread.start()
    with connect(f"127.0.0.1:{server.port}") as client:
        assert client.get("/").status == 500
    thread.join(WAIT_S)
    assert caught == [None if isinstance(error, KeyboardInterrupt) else error]
    assert server.fileno() == -1


def test_errors_pass_through_threads_too() -> None:
    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        raise ZeroDivisionError("mine")

    server = local(app, threaded=True, passthrough_errors=True)
    client = threading.Thread(target=lambda: get(server))
    client.start()
    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        server.serve_forever()
    assert "test_make_server.py" in str(caught.traceback[-1].path)
    client.join(WAIT_S)


PROCESSES = r"""
import os, signal, sys, threading, urllib.request
import prefork

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/die":
        os.kill(os.getpid(), signal.SIGKILL)
    flags = environ["wsgi.multiprocess"], environ["wsgi.multithread"]
    return [b"%d %d %d" % (os.getpid(), *flags)]

server = prefork.make_server("127.0.0.1", 0, app, processes=2)
assert server.multiprocess and not server.multithread

def get(path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}") as answer:
            return answer.read().decode().split()
    except OSError:
        return None

def client():
    try:
        pid, multiprocess, multithread = get("/")
        assert (multiprocess, multithread) == ("1", "0")
        assert int(pid) != os.getpid()
        assert get("/die") is None
        pids = set()
        while len(pids) < 3:
            pids.add(get("/")[0])
            if len(pids) == 2:
                get("/die")
        sys.stdout.write(f"served by {len(pids)}\n")
    finally:
        server.shutdown()

thread = threading.Thread(target=client)
thread.start()
server.serve_forever(poll_interval=0.01)
thread.join()
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    sys.stdout.write("no process is left\n")
print(len(os.listdir("/proc/self/fd")), threading.active_count())
"""


def test_several_processes() -> None:
    output = run(PROCESSES)
    assert "served by 3\n" in output
    assert "no process is left\n" in output
    assert output.count("SIGKILL") >= 2
    assert output.splitlines()[-1].split()[1] == "1"


# What cannot be served ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"processes": 0}, ValueError, "at least 1"),
        ({"processes": 2, "threaded": True}, ValueError, "choose one"),
        ({"request_handler": int}, TypeError, "subclass of prefork.WSGIRequestHandler"),
        ({"request_handler": "a:b"}, TypeError, "subclass"),
        ({"ssl_context": "nonsense"}, TypeError, "adhoc"),
        ({"ssl_context": ("/none.crt", "/none.key")}, prefork.errors.PreforkError, "/none.crt, /none.key"),
        ({"host": "no such host"}, ValueError, "no valid host"),
        ({"host": "127.0.0.1:80"}, ValueError, "IPv6"),
        ({"port": 65536}, ValueError, "65535"),
        ({"host": "unix:///no/such/directory/s"}, ListenError, "does not exist"),
        ({"fd": 999999}, ListenError, "no socket"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    gc.collect()
    values = {"host": "127.0.0.1", "port": 0, "app": hello, **arguments}
    before = descriptors()
    with pytest.raises(error, match=says):
        make_server(**values)
    gc.collect()
    assert descriptors() == before


def test_a_handler_with_a_name_that_cannot_be_sent() -> None:
    handler = type("Mine", (prefork.WSGIRequestHandler,), {"server_version": "a\r\nb"})
    with pytest.raises(BootError, match=r"Mine\.server_version"):
        local(hello, request_handler=handler)


def test_a_descriptor_that_does_not_listen() -> None:
    with socket.socket() as plain, pytest.raises(ListenError, match="does not listen"):
        make_server("127.0.0.1", 0, hello, fd=plain.fileno())


def test_the_address_of_a_sibling() -> None:
    with local(hello) as server, pytest.raises(ListenError, match="another server of this process"):
        make_server("127.0.0.1", server.port, hello)


def test_addresses() -> None:
    with make_server("localhost", 0, hello) as server:
        assert (server.host, server.server_address) == ("localhost", ("127.0.0.1", server.port))
    with make_server("", 0, hello) as server:
        assert server.server_address[0] == "0.0.0.0"
    with make_server("unix://@prefork-test-dev", 0, hello) as server:
        assert server.server_address == "@prefork-test-dev"


def test_a_socket_file_that_is_somebody_elses(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ListenError, match="is no socket"):
        make_server(f"unix://{path}", 0, hello)
    assert path.read_text() == "precious"
    path.unlink()
    with make_server(f"unix://{path}", 0, hello) as server, serving(server):
        with pytest.raises(ListenError, match="answers there"):
            make_server(f"unix://{path}", 0, hello)
        with connect(f"unix:{path}") as client:
            assert client.get("/").body == b"hello"
    assert not path.exists()


def test_an_early_end_of_a_connection_costs_nothing() -> None:
    server = local(hello)
    with serving(server):
        for _ in range(5):
            with connect(f"127.0.0.1:{server.port}") as client:
                client.send(b"GET / HT")
        with pytest.raises(ConnectionEndedError), connect(f"127.0.0.1:{server.port}") as client:
            client.sock.shutdown(socket.SHUT_WR)
            client.read_response()
        assert get(server) == b"hello"


def test_many_clients_of_one_thread() -> None:
    server = local(hello)
    with serving(server):
        clients = [connect(f"127.0.0.1:{server.port}") for _ in range(100)]
        for client in clients:
            assert client.get("/").body == b"hello"
        for client in clients:
            client.close()
        assert threading.active_count() < 10
