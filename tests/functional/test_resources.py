"""What a server costs when nothing happens, and what it does when the system has no more to give."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack

import psutil
import pytest

from support import processes
from support.deadline import SLOWNESS, eventually
from support.measured import Measured
from support.server import Server, ServerFactory

IDLE_S = 3.0


def cost(server: Server) -> dict[int, tuple[int, int]]:
    """Process number -> CPU ticks used and number of wake-ups, of every process of the server."""
    found = processes.of_session(server.pid)
    return {process.pid: (process.ticks, processes.voluntary_switches(process.pid)) for process in found}


@pytest.mark.parametrize("threads", [1, 4])
def test_an_idle_server_uses_no_cpu(serve: ServerFactory, threads: int) -> None:
    requests = {"keepalive_timeout": 600, "header_timeout": 600}
    status = {"listen": ["127.0.0.1:0"]}
    server = serve("probe:app", workers=2, threads=threads, settings={"requests": requests, "status": status})
    server.wait_for_event("status_ready")
    # Only a look at its page is followed by further ones.
    assert server.ask("/readyz").status == 200
    with ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(server.connect())
            assert connection.get("/").status == 200
        last: dict[int, tuple[int, int]] = {}

        def settled() -> bool:
            nonlocal last
            time.sleep(0.2)
            before, last = last, cost(server)
            return before == last

        eventually(settled, "a moment of quiet after the requests")
        before = cost(server)
        time.sleep(IDLE_S)  # the length of the measurement
        after = cost(server)
        assert len(before) == 5, "master, zygote, two workers and the status process"
        assert after == before


@pytest.mark.parametrize("threads", [1, 4])
def test_out_of_descriptors_it_closes_idle_connections_and_serves_on(
    serve: ServerFactory, measured: Measured, threads: int
) -> None:
    limited = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", sys.executable, "-m", "prefork"]
    requests = {"keepalive_timeout": 600, "header_timeout": 600}
    server = serve("probe:app", threads=threads, settings={"requests": requests}, executable=limited)
    workers = server.workers()
    worst = 0.0
    with ExitStack() as stack:
        for _ in range(120):
            start = time.monotonic()
            connection = stack.enter_context(server.connect())
            assert connection.get("/").body == b"Hello, World!"
            worst = max(worst, time.monotonic() - start)
    measured(f"slowest of 120 answers to clients that stay, with 64 descriptors: {worst * 1000:.0f} ms")
    assert worst < SLOWNESS, "room is made by closing an idle connection, so a new client need not wait"
    with ExitStack() as stack:
        for _ in range(100):  # these never ask for anything
            stack.enter_context(server.connect())
        assert server.get("/").status == 200
    for _ in range(10):
        assert server.get("/").status == 200
    assert server.workers() == workers


def test_more_workers_than_descriptors_are_said_and_lock_nobody_out(serve: ServerFactory) -> None:
    limited = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", sys.executable, "-m", "prefork"]
    server = serve("probe:app", workers=2, executable=limited)
    mark = server.mark()
    assert server.command("scale", "60").returncode == 0
    refused = server.wait_for_event("worker_exited", after=mark)
    assert refused["how"] == "never forked"
    assert "Too many open files" in refused["error"]
    # A command and a reload find descriptors that are left: an eighth, less the one that the last worker took after that.
    assert psutil.Process(server.pid).num_fds() <= 64 - 8 + 1
    assert server.command("status").returncode == 0
    assert server.get("/").status == 200
    assert server.command("scale", "3").returncode == 0
    server.wait_for_workers(3)
    assert server.command("reload", "--wait").returncode == 0
    assert not server.log.events("internal_error")
