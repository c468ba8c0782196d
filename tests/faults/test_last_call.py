"""Who waits in the queue of an address is answered, also when nobody accepts from it any more."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.http import connect
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


class Callers:
    """Connect and ask, again and again, until the address is gone; what happened to those who got in."""

    def __init__(self, address: str) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._address = address
        self._threads = [threading.Thread(target=self._call) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        while True:
            try:
                connection = connect(self._address)
            except OSError:
                return
            with connection:
                try:
                    connection.send(REQUEST)
                    assert connection.read_response().status == 200
                    self.answered += 1
                except (OSError, AssertionError) as error:
                    self.lost.append(repr(error))

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_an_address_that_a_reload_gives_up_loses_nobody(
    deployed: Deployed, tmp_path: Path, kind: str
) -> None:
    given_up = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/s.sock"
    kept = f"unix:{tmp_path}/kept.sock"
    server = deployed(workers=2, settings={"server": {"listen": [given_up, kept]}})
    address = server.address
    callers = Callers(address)
    server.configure({"server": {"listen": [kept]}})
    server.reload()
    callers.join()
    assert not callers.lost, callers.lost[:3]
    assert callers.answered > 10
    with server.connect(kept) as connection:
        assert connection.get("/").status == 200
