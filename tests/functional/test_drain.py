"""Out of the balancers first, stopped afterwards: `prefork drain`, `server.drain_delay`, and what a stop does to newcomers."""

from __future__ import annotations

import socket
from signal import SIGTERM

import pytest

from support import http
from support.deadline import eventually
from support.gate import Gate
from support.server import Server, ServerFactory


def status_address(server: Server) -> str:
    return server.wait_for_event("status_listening")["address"]


def ready(server: Server) -> int:
    with http.connect(status_address(server)) as connection:
        return connection.request("GET", "/readyz", [("Connection", "close")]).status


def agent_says(server: Server) -> bytes:
    host, _, port = list(server.log.events("status_listening"))[1]["address"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        return connection.recv(100)


@pytest.fixture
def drainable(serve: ServerFactory) -> Server:
    # Longer than any test: only what ends the delay can end it.
    return serve(
        "probe:app",
        settings={
            "server": {"drain_delay": "1h"},
            "status": {"listen": ["127.0.0.1:0"], "agent": ["127.0.0.1:0"]},
        },
    )


def test_a_drained_server_serves_on_and_can_be_taken_back(drainable: Server) -> None:
    eventually(lambda: ready(drainable) == 200, "readiness")
    assert agent_says(drainable) == b"ready up 100%\n"
    ended = drainable.command("drain", "--no-wait")
    assert (ended.returncode, ended.stdout) == (0, "draining: not ready any more, and serving on\n")
    assert ready(drainable) == 503
    assert agent_says(drainable) == b"drain\n"
    assert drainable.get("/").status == 200
    assert '"state":"draining"' in drainable.command("status", "--json").stdout.replace(" ", "")
    assert drainable.command("resume").stdout == "resumed\n"
    assert ready(drainable) == 200
    ended = drainable.command("drain", "--delay", "50ms")
    assert ended.stdout.splitlines()[-1] == "drained: not ready any more, and serving on until it is stopped"
    # Its time is over: a stop begins at once.
    assert drainable.stop(SIGTERM) == 0
    assert drainable.log.search("event=stopping .*how=graceful", 0)


def test_term_drains_first_and_a_second_one_ends_that(drainable: Server) -> None:
    eventually(lambda: ready(drainable) == 200, "readiness")
    drainable.signal(SIGTERM)
    drainable.wait_for_event("draining", by="SIGTERM")
    assert ready(drainable) == 503
    assert drainable.get("/").status == 200
    refused = drainable.command("reload")
    assert (refused.returncode, refused.stderr) == (1, "prefork: reload failed: the server is stopping\n")
    assert drainable.stop(SIGTERM) == 0
    assert drainable.log.search("event=stopping .*how=graceful", 0)


def test_a_stop_that_takes_long_refuses_newcomers_before_it_ends(serve: ServerFactory, gate: Gate) -> None:
    server = serve("probe:app", threads=2)
    host, _, port = server.address.rpartition(":")
    with server.connect() as connection:
        connection.send(http.encode("GET", f"/gate?path={gate.path}"))
        server.wait_for_log("at the gate")
        server.signal(SIGTERM)
        server.wait_for_event("stopping")

        def refused() -> bool:
            try:
                socket.create_connection((host, int(port)), timeout=0.5).close()
            except ConnectionRefusedError:
                return True
            except TimeoutError:
                return False
            return False

        eventually(refused, "a refusal while a request still runs")
        assert server.process.poll() is None
        gate.open()
        assert connection.read_response().status == 200
    assert server.wait() == 0
