"""Every request is counted, whatever happens to the worker that answered it, except for what was in the hands of a killed one.

With PREFORK_TEST_REQUESTS=1000000 at the size that the README speaks of.
"""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from support.counts import status_of, value_of
from support.deadline import DEADLINE_S, SLOWNESS, eventually
from support.http import connect, encode
from support.measured import Measured
from support.server import Server, ServerFactory

REQUESTS = int(os.environ.get("PREFORK_TEST_REQUESTS", "5000"))
BATCH = 20
"""Sent together on a connection, as pipelining allows."""
CLIENTS = 6
WORKERS = 3
ROUNDS = max(1, min(REQUESTS // 20_000, 12))
"""Of all operations."""

ANSWER = b"HTTP/1.1 200 OK"


class Clients:
    """Send batches and count what comes back, on connections that may end at any time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._begun = itertools.count()
        self._lock = threading.Lock()
        self.sent = 0
        self.answered = 0

    def run(self) -> None:
        """One client's work."""
        batch = encode("GET", "/") * BATCH
        connection = None
        while next(self._begun) < REQUESTS // BATCH:
            sent = answered = 0
            try:
                connection = connection or connect(self._server.address)
                connection.send(batch)
                sent = BATCH
                while answered < BATCH:
                    response = connection.read_response()
                    assert response.status == 200, response
                    answered += 1
                    if response.closes:
                        raise ConnectionResetError
            except (OSError, AssertionError) as error:
                if connection is not None:
                    connection.close()
                connection = None
                assert isinstance(error, OSError) or "ended" in type(error).__name__.lower(), error
            with self._lock:
                self.sent += sent
                self.answered += answered
        if connection is not None:
            connection.close()


def kill_one(server: Server) -> None:
    victim = next(iter(server.wait_for_workers(WORKERS)))
    mark = server.mark()
    os.kill(victim, signal.SIGKILL)
    server.wait_for_event("worker_exited", after=mark, pid=victim)


def disturb(server: Server, clients: Clients) -> int:
    """Everything that replaces workers, spread over the run; returns how many were killed."""
    kills = 0
    steps = ["kill", "reload", "kill", "recycle", "upgrade"] * ROUNDS
    for number, step in enumerate(steps, 1):
        goal = number * REQUESTS // (len(steps) + 1)
        eventually(lambda goal=goal: clients.answered >= goal, f"{goal} answers", deadline_s=60 * DEADLINE_S)
        if step == "kill":
            kill_one(server)
            kills += 1
        elif step == "recycle":
            assert server.command("recycle").returncode == 0
        else:
            wait = ["--wait"] if step == "reload" else []
            done = server.command(step, *wait, deadline_s=10 * DEADLINE_S * SLOWNESS)
            assert done.returncode == 0, done.stderr
    return kills


def test_all_requests_are_counted(serve: ServerFactory, measured: Measured) -> None:
    recycled = {"max_requests": max(REQUESTS // 10, 500), "rollback_window": 0}
    server = serve("counting:app", workers=WORKERS, threads=2, settings={"workers": recycled})
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        clients = Clients(server)
        running = [pool.submit(clients.run) for _ in range(CLIENTS)]
        kills = pool.submit(disturb, server, clients).result()
        for each in running:
            each.result()
    elapsed_s = time.monotonic() - began

    def at_rest() -> bool:
        return not any(worker.running for worker in status_of(server).workers)

    eventually(at_rest, "the last request to be finished", deadline_s=DEADLINE_S * SLOWNESS)
    counters = status_of(server).counters
    assert counters is not None
    calls = value_of(server, "test_calls")
    measured(
        f"{clients.answered} of {clients.sent} answered in {elapsed_s:.0f} s; {calls:.0f} begun in the application, "
        f"{counters.requests} counted; {kills} workers killed"
    )
    in_killed_hands = kills * 2  # each had two threads
    assert clients.answered > 0.8 * REQUESTS  # a batch on a connection that is closed is not sent again
    # The application counts before it answers.
    assert clients.answered <= calls <= clients.sent
    assert calls - in_killed_hands <= counters.requests <= calls
    assert counters.by_class == [0, counters.requests, 0, 0, 0]
    assert sum(counters.duration) == counters.requests
    assert counters.requests <= sum(counters.queued) <= counters.requests + in_killed_hands
    assert value_of(server, "test_running") == 0
