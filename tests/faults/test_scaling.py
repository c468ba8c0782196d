"""A range of workers that follows the load, on real processes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from support import processes
from support.gate import Gate
from support.server import Server

Deployed = Callable[..., Server]

WAITS = """
from gates import wait_at
serve = app
def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/gate"):
        wait_at(environ["PATH_INFO"].removeprefix("/gate"))
    return serve(environ, start_response)
"""


def test_more_workers_while_clients_wait(deployed: Deployed, gate: Gate) -> None:
    server = deployed(settings={"workers": {"count": {"min": 1, "max": 3}}}, body=WAITS)
    assert len(server.workers()) == 1
    with ExitStack() as stack:
        connections = []
        for _ in range(4):
            connection = stack.enter_context(server.connect())
            # Before the next comes: a worker that has nothing to do yet would accept them all, and answer them one by one.
            connection.send(f"GET /gate{gate.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            connections.append(connection)
        server.wait_for_event("scaled", by="load", workers=3)
        assert len(server.wait_for_workers(3)) == 3
        gate.open(4)
        assert [each.read_response().status for each in connections] == [200] * 4
    # Calm: they go again, one by one.
    server.wait_for_event("scaled", by="load", workers=1)
    server.wait_for_workers(1)


def test_no_workers_at_all_until_somebody_comes(deployed: Deployed) -> None:
    server = deployed(
        settings={"workers": {"count": {"min": 0, "max": 2}}, "requests": {"keepalive_timeout": 1}}
    )
    server.wait_for_event("scaled", by="load", workers=0)
    server.wait_for_workers(0)
    before = processes.voluntary_switches(server.pid)
    mark = server.mark()
    with pytest.raises(AssertionError):
        server.wait_for_log("never", deadline_s=2)  # two seconds in which nothing happens
    assert processes.voluntary_switches(server.pid) - before <= 3, "an idle server is not woken"
    assert server.get("/").status == 200
    server.wait_for_event("worker_ready", after=mark)  # the worker may answer before the master has told
    assert len(server.log.events("worker_ready", mark)) == 1
    # A reload is proved by a worker, though nobody needs one.
    server.wait_for_event("scaled", after=mark, by="load", workers=0)
    server.wait_for_workers(0)
    assert server.reload() == 2
    assert server.get("/").status == 200
