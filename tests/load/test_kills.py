"""Workers are killed while clients work: a client loses no more than what was inside the killed worker."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from support.deadline import DEADLINE_S, SLOWNESS
from support.http import Connection, ConnectionEndedError
from support.measured import Measured
from support.server import Server, ServerFactory

REQUESTS = 10_000
CONNECTIONS = 64
WORKERS = 4
KILLS = 12


@dataclass
class Failure:
    """A request without an answer, on a connection of worker `pid` (None: the first one there)."""

    pid: int | None
    error: str
    kills_before: int
    kills_after: int


@dataclass
class Tally:
    """What all clients saw; `done` counts requests begun, one way or the other ended."""

    answered: int = 0
    failures: list[Failure] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    begun: itertools.count[int] = field(default_factory=itertools.count)
    progress: threading.Condition = field(default_factory=threading.Condition)


def client(server: Server, tally: Tally) -> None:
    """One keep-alive connection after the other, until all requests are begun."""
    connection: Connection | None = None
    pid: int | None = None
    while next(tally.begun) < REQUESTS:
        kills_before = len(tally.killed)
        failure = None
        try:
            connection = connection or server.connect()
            answer = connection.get("/worker")
            assert answer.status == 200, answer
            pid = int(answer.body.split()[0])
            if answer.closes:
                connection.close()
                connection = pid = None
        except (OSError, ConnectionEndedError) as error:
            failure = Failure(pid, repr(error), kills_before, len(tally.killed))
            if connection is not None:
                connection.close()
            connection = pid = None
        with tally.progress:
            if failure:
                tally.failures.append(failure)
            else:
                tally.answered += 1
            tally.progress.notify_all()
    if connection is not None:
        connection.close()


def kill_one_after_another(server: Server, tally: Tally) -> None:
    """Whenever another part of the requests is through: kill -9 the oldest worker, and note it."""
    for number in range(1, KILLS + 1):
        with tally.progress:
            goal = number * REQUESTS // (KILLS + 2)
            enough = tally.progress.wait_for(
                lambda goal=goal: tally.answered + len(tally.failures) >= goal, DEADLINE_S * SLOWNESS
            )
            assert enough, "the clients got stuck"
        alive = server.wait_for_workers(WORKERS)
        victim = next(iter(alive))
        mark = server.mark()
        tally.killed.append(victim)  # noted first: a client may see the death before this thread goes on
        os.kill(victim, signal.SIGKILL)
        server.wait_for_event("worker_exited", after=mark, pid=victim)
    server.wait_for_workers(WORKERS)


def test_only_requests_inside_a_killed_worker_fail(serve: ServerFactory, measured: Measured) -> None:
    server = serve("probe:app", workers=WORKERS)
    tally = Tally()
    with ThreadPoolExecutor(CONNECTIONS + 1) as pool:
        clients = [pool.submit(client, server, tally) for _ in range(CONNECTIONS)]
        pool.submit(kill_one_after_another, server, tally).result()
        for finished in clients:
            finished.result()
    measured(f"{tally.answered} answered, {len(tally.failures)} failed, {len(tally.killed)} workers killed")
    assert tally.answered + len(tally.failures) == REQUESTS
    assert len(set(tally.killed)) == KILLS
    unexplained = [
        failure
        for failure in tally.failures
        # A connection whose worker is not known yet may fail only while a kill happens.
        if (failure.pid not in tally.killed if failure.pid else failure.kills_before == failure.kills_after)
    ]
    assert not unexplained, unexplained[:5]
    assert len(tally.failures) <= KILLS * CONNECTIONS
    assert server.get("/").status == 200
    assert server.stop() == 0
