"""What other clients, a stop or a reload do to a client: nothing it would notice.

Bounds are generous so that a slow machine does not fail them; the measured milliseconds are printed.
"""

from __future__ import annotations

import select
import signal
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.deadline import DEADLINE_S, SLOWNESS
from support.gate import Gate
from support.http import Connection, encode
from support.measured import Measured
from support.server import Server, ServerFactory

BOUND_S = 1.0 * SLOWNESS


def wait_readable(connection: Connection) -> None:
    """Wait until the server sent something, and leave it unread."""
    poller = select.poll()
    poller.register(connection.sock, select.POLLIN)
    assert poller.poll(DEADLINE_S * SLOWNESS * 1000)


@pytest.mark.parametrize("threads", [1, 2])
def test_silent_slow_and_greedy_clients_hold_nobody(
    serve: ServerFactory, measured: Measured, threads: int
) -> None:
    server = serve("probe:app", workers=2, threads=threads)  # time limits as shipped: ten seconds and more
    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect(receive_buffer=4096)) for _ in range(6)]
        for half in connections[2:4]:
            half.send(b"GET / HTTP/1.1\r\nHost: te")
        for deaf in connections[4:6]:
            deaf.send(encode("GET", f"/big?size={64 * 1024 * 1024}"))
            wait_readable(deaf)
        worst = 0.0
        for _ in range(30):
            start = time.monotonic()
            assert server.get("/").body == b"Hello, World!"
            worst = max(worst, time.monotonic() - start)
    measured(f"slowest of 30 answers beside six offenders: {worst * 1000:.1f} ms")
    assert worst < BOUND_S


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stop_answers_what_waits_in_the_backlog(serve: ServerFactory, gate: Gate, threads: int) -> None:
    server = serve("probe:app", threads=threads)
    with ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(threads)]
        for connection in busy:
            mark = server.mark()
            connection.send(encode("GET", f"/gate?path={gate.path}"))
            server.wait_for_log("at the gate", after=mark)
        queued = [stack.enter_context(server.connect()) for _ in range(8)]
        for connection in queued:
            connection.send(encode("GET", "/"))
        mark = server.mark()
        server.signal(signal.SIGTERM)
        server.wait_for_event("stopping", after=mark)
        gate.open(threads)
        assert [connection.read_response().status for connection in busy] == [200] * threads
        assert [connection.read_response().body for connection in queued] == [b"Hello, World!"] * 8
        assert server.wait() == 0


def write_release(folder: Path, text: str, import_s: float) -> None:
    """A release of an application that says `text`; a worker's answer takes no time, the import does."""
    source = f"""
        import time

        time.sleep({import_s})
        BODY = {text.encode()!r}

        def app(environ, start_response):
            start_response("200 OK", [("Content-Length", str(len(BODY)))])
            return [BODY]
    """
    temporary = folder / "release.new"
    temporary.write_text(textwrap.dedent(source))
    temporary.replace(folder / "release.py")


def worst_wait(server: Server, until: threading.Event) -> tuple[float, list[bytes]]:
    """Ask until told to stop; the longest wait in seconds, and the different bodies in order."""
    worst, bodies = 0.0, [b""]
    with ExitStack() as stack:
        connection = stack.enter_context(server.connect())
        while not until.is_set():
            start = time.monotonic()
            answer = connection.get("/")
            worst = max(worst, time.monotonic() - start)
            assert answer.status == 200
            if answer.body != bodies[-1]:
                bodies.append(answer.body)
            if answer.closes:
                connection = stack.enter_context(server.connect())
            until.wait(0.002)  # the pace of the client, so that four of them do not fill the machine
    return worst, bodies[1:]


@pytest.mark.parametrize("preload", ["always", "never"])
def test_a_slow_import_on_reload_delays_nobody(
    serve: ServerFactory, measured: Measured, tmp_path: Path, preload: str
) -> None:
    write_release(tmp_path, "old", 0)
    settings = {"app": {"path": [str(tmp_path)], "preload": preload}}
    server = serve("release:app", workers=2, settings=settings)
    write_release(tmp_path, "new", 3)
    done = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(worst_wait, server, done) for _ in range(4)]
        try:
            started = time.monotonic()
            server.reload()
            took = time.monotonic() - started
            server.wait_for_workers(2, gen=2)
        finally:
            done.set()
        results = [client.result() for client in clients]
    worst = max(seconds for seconds, _ in results)
    measured(f"slowest answer during a reload of {took:.1f} s: {worst * 1000:.1f} ms")
    assert took >= 3
    assert worst < BOUND_S
    assert server.get("/").body == b"new"
    assert {b"new", b"old"} >= {body for _, bodies in results for body in bodies}
    assert b"old" in {bodies[0] for _, bodies in results}
