"""Who waits in the queue of an address is answered, also when nobody accepts from it any more."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from support.server import Server

Deployed = Callable[..., Server]

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_term_answers_those_who_wait_at_a_paused_pool(deployed: Deployed, tmp_path: Path) -> None:
    settings = {"server": {"listen": ["127.0.0.1:0", f"unix:{tmp_path}/s.sock"]}}
    server = deployed(workers=2, settings=settings)
    server.signal(signal.SIGWINCH)
    server.wait_for_workers(0)
    with ExitStack() as stack:
        waiting = [stack.enter_context(server.connect()) for _ in range(5)]
        waiting.append(stack.enter_context(server.connect(f"unix:{tmp_path}/s.sock")))
        for connection in waiting:
            connection.send(REQUEST)
        server.signal(signal.SIGTERM)
        assert [each.read_response().status for each in waiting] == [200] * 6
    assert server.wait() == 0


def test_term_at_a_paused_pool_without_clients_starts_nobody(deployed: Deployed) -> None:
    server = deployed(workers=1)
    server.signal(signal.SIGWINCH)
    server.wait_for_workers(0)
    mark = server.mark()
    assert server.stop() == 0
    assert not server.log.events("worker_ready", mark)


def test_int_at_a_paused_pool_does_not_wait(deployed: Deployed) -> None:
    server = deployed(workers=1)
    server.signal(signal.SIGWINCH)
    server.wait_for_workers(0)
    with server.connect() as connection:
        connection.send(REQUEST)
        mark = server.mark()
        assert server.stop(signal.SIGINT) == 0
        assert not server.log.events("worker_ready", mark)
