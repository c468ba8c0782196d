"""Clients that keep every thread busy do not keep new clients out."""

from __future__ import annotations

import select
import threading
import time

import pytest

from support.crowd import crowd
from support.deadline import SLOWNESS
from support.http import encode
from support.measured import Measured
from support.server import ServerFactory

REQUEST = encode("GET", "/")
BOUND_S = 1.0 * SLOWNESS


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(("busy", "ahead"), [(64, 1), (20, 50)], ids=["keep-alive", "pipelining"])
def test_a_new_client_beside_clients_that_never_pause(
    serve: ServerFactory, measured: Measured, threads: int, busy: int, ahead: int
) -> None:
    server = serve("probe:app", threads=threads)
    done = threading.Event()
    with crowd(server) as clients:
        by_fd = {sock.fileno(): sock for sock in clients.join(busy, REQUEST * ahead)}

        def never_pause() -> None:
            poller = select.epoll()
            for fd in by_fd:
                poller.register(fd, select.EPOLLIN)
            while not done.is_set():
                for fd, _ in poller.poll(0.1):
                    answers = by_fd[fd].recv(1 << 20).count(b"HTTP/1.1 200")
                    clients.say(by_fd[fd], REQUEST * max(answers, 1))
            poller.close()

        thread = threading.Thread(target=never_pause)
        thread.start()
        took = []
        try:
            for _ in range(100):
                start = time.monotonic()
                assert server.get("/").body == b"Hello, World!"
                took.append(time.monotonic() - start)
        finally:
            done.set()
            thread.join()
    took.sort()
    measured(f"median {took[50] * 1000:.1f} ms, slowest of 100 {took[-1] * 1000:.0f} ms")
    assert took[95] < BOUND_S
