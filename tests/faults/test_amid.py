"""Killed in the middle: workers and zygotes that are on their way, workers that are answering."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from support.gate import Gate
from support.server import Server

from .conftest import deploy

Deployed = Callable[..., Server]

LATE = {"app": {"preload": "never"}, "log": {"level": "debug"}}
"""Workers import by themselves, so that a gate in the application holds them before they are ready."""


def waiting_at(gate: Gate) -> str:
    return f"os.read(os.open({str(gate.path)!r}, os.O_RDWR), 1)"


def body(server: Server) -> str:
    return server.get("/").body.decode()


def test_a_worker_killed_before_it_is_ready_is_made_again(deployed: Deployed, gate: Gate) -> None:
    server = deployed(workers=2, settings=LATE)
    deploy(server, "v1", waiting_at(gate))
    victim = next(iter(server.workers()))
    mark = server.mark()
    os.kill(victim, signal.SIGKILL)
    booting = int(server.wait_for_event("worker_forked", after=mark)["pid"])
    os.kill(booting, signal.SIGKILL)
    died = server.wait_for_event("worker_exited", after=mark, pid=booting)
    assert died["stage"] == "boot"
    assert "ended before it was ready: signal 9" in died["error"]
    assert int(died["peak_memory"].removesuffix("MiB")) > 5
    assert body(server) == "v1", "the other one serves on"
    gate.open(2)
    server.wait_for_workers(2, gen=1)


@pytest.mark.parametrize("who", ["zygote", "worker"])
def test_a_candidate_that_is_killed_on_its_way_fails_alone(deployed: Deployed, gate: Gate, who: str) -> None:
    server = deployed(workers=2, settings=LATE)
    before = server.workers()
    deploy(server, "v2", waiting_at(gate))
    mark = server.mark()
    server.signal(signal.SIGHUP)
    worker = int(server.wait_for_event("worker_forked", after=mark, gen=2)["pid"])
    zygote = int(server.wait_for_event("zygote_ready", after=mark, gen=2)["pid"])
    os.kill(zygote if who == "zygote" else worker, signal.SIGKILL)
    failure = server.wait_for_event("reload_failed", after=mark, gen=2)
    assert "signal 9 (SIGKILL)" in failure["error"]
    server.wait_for_event("worker_exited", after=mark, pid=worker)
    assert server.workers() == before
    assert body(server) == "v1"


def test_term_in_the_middle_of_a_roll_ends_the_server(deployed: Deployed, gate: Gate) -> None:
    """One slot has changed over, the next worker is on its way."""
    server = deployed(workers=2, settings=LATE)
    deploy(server, "v2", waiting_at(gate))
    mark = server.mark()
    gate.open(1)
    server.signal(signal.SIGHUP)
    first = server.wait_for_event("worker_ready", after=mark, gen=2)
    second = server.wait_for_event("worker_forked", after=mark + 1, gen=2, worker=3 - int(first["worker"]))
    server.signal(signal.SIGTERM)
    server.wait_for_event("worker_exited", after=mark, pid=second["pid"])
    assert server.process.wait(30) == 0


@pytest.mark.parametrize(
    ("death", "how"),
    [
        ("ctypes.string_at(0)", "signal 11 (SIGSEGV)"),
        ("os.abort()", "signal 6 (SIGABRT)"),
        ("os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)"),
        ("os._exit(7)", "exit code 7"),
    ],
)
def test_a_death_is_told_with_its_request_and_the_memory_it_had(
    deployed: Deployed, death: str, how: str
) -> None:
    server = deployed(
        workers=1,
        body=f"""
        import ctypes
        serve = app
        def app(environ, start_response):
            if environ["PATH_INFO"] == "/die":
                big = b"x" * (64 << 20)
                {death}
            return serve(environ, start_response)
        """,
    )
    mark = server.mark()
    with server.connect() as connection:
        connection.send(b"GET /die HTTP/1.1\r\nHost: x\r\n\r\n")
        died = server.wait_for_event("worker_exited", after=mark)
    assert died["how"] == how
    assert died["request"] == "GET /die HTTP/1.1"
    assert int(died["peak_memory"].removesuffix("MiB")) >= 64
    server.wait_for_event("worker_ready", after=mark)
    assert body(server) == "v1"
