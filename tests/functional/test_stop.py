"""Stopping at once, stopping with idle clients, and what is left afterwards (see also `faults/test_signals.py`)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.gate import Gate
from support.http import ConnectionEndedError, encode
from support.server import ServerFactory


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(
    "signals",
    [[signal.SIGINT], [signal.SIGQUIT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]],
    ids=["INT", "QUIT", "TERM-TERM", "TERM-INT"],
)
def test_a_fast_stop_waits_for_nobody(
    serve: ServerFactory, gate: Gate, signals: list[signal.Signals], threads: int
) -> None:
    server = serve("probe:app", threads=threads, settings={"workers": {"drain_timeout": 600}})
    with server.connect() as connection:
        connection.send(encode("GET", f"/gate?path={gate.path}"))
        server.wait_for_log("at the gate")
        for number, one in enumerate(signals, start=1):
            server.signal(one)
            server.log.wait_until(lambda n=number: server.log.events("stopping")[n - 1 :] or None, "stopping")
        assert server.wait() == 0
        with pytest.raises((ConnectionEndedError, ConnectionResetError)):
            connection.read_response()


def test_a_stop_ends_idle_connections_and_soon(serve: ServerFactory) -> None:
    server = serve("probe:app", settings={"requests": {"keepalive_timeout": 1}})
    with server.connect() as connection:
        assert connection.get("/").status == 200
        server.signal(signal.SIGTERM)
        assert connection.ended()
    assert server.wait() == 0


def test_the_pid_file_is_there_while_the_server_is(serve: ServerFactory, tmp_path: Path) -> None:
    path = tmp_path / "server.pid"
    server = serve("probe:app", settings={"server": {"pid_file": str(path)}})
    assert path.read_text().strip() == str(server.pid)
    assert server.stop() == 0
    assert not path.exists()
