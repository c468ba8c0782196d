"""The line for HAProxy's agent check."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prefork.ipc.status import Status, WorkerStatus
from prefork.status.agent import Agent, agent_line, weight_percent
from support.deadline import DEADLINE_S, SLOWNESS


def worker(number: int, threads: int, busy: int, state: str = "accepting") -> WorkerStatus:
    return WorkerStatus(
        worker=number, id=number, pid=number, generation=1, state=state, age_s=1.0, threads=threads, busy=busy
    )


def status(*workers: WorkerStatus, state: str = "serving", wanted: int | None = None) -> Status:
    return Status(
        name="shop",
        pid=1,
        version="0",
        uptime_s=1.0,
        state=state,
        generation=1,
        workers_wanted=len(workers) if wanted is None else wanted,
        generations=[],
        workers=list(workers),
        listeners=[],
    )


@pytest.mark.parametrize(
    ("workers", "percent"),
    [
        ([worker(1, 4, 0), worker(2, 4, 0)], 100),
        ([worker(1, 4, 1), worker(2, 4, 2)], 63),
        ([worker(1, 4, 4), worker(2, 4, 0)], 50),
        ([worker(1, 4, 4), worker(2, 4, 4)], 1),
        ([worker(1, 1000, 999)], 1),
        ([worker(1, 1, 3)], 1),
        ([worker(1, 4, 4), worker(2, 4, 0, "booting")], 1),
        ([worker(1, 4, 0), worker(2, 4, 4, "draining")], 100),
        ([], 100),
    ],
)
def test_the_weight_is_the_share_of_free_threads(workers: list[WorkerStatus], percent: int) -> None:
    assert weight_percent(status(*workers)) == percent


def test_a_server_that_serves_says_so_and_ends_its_own_drain() -> None:
    assert agent_line(status(worker(1, 4, 1))) == b"ready up 75%\n"


def test_a_server_that_sleeps_takes_the_connection_that_wakes_it() -> None:
    assert agent_line(status(wanted=0)) == b"ready up 100%\n"


@pytest.mark.parametrize("state", ["starting", "paused", "draining", "stopping"])
def test_a_server_that_is_not_ready_takes_nobody_new(state: str) -> None:
    assert agent_line(status(worker(1, 4, 0), state=state)) == b"drain\n"


def test_a_master_that_does_not_answer() -> None:
    assert agent_line(None) == b"drain\n"


@contextmanager
def agent(answers: list[Status | None]) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        made = Agent([listener.detach()], lambda: answers.pop(0))
    made.start()
    try:
        yield address
    finally:
        made.close()


def ask(address: tuple[str, int], send: bytes = b"") -> bytes:
    with socket.create_connection(address, timeout=DEADLINE_S * SLOWNESS) as connection:
        connection.sendall(send)
        received = b""
        while data := connection.recv(4096):
            received += data
    return received


def test_each_connection_gets_the_line_of_its_moment() -> None:
    with agent([status(worker(1, 2, 1)), None]) as address:
        assert ask(address) == b"ready up 50%\n"
        # What "agent-send" sends is of no interest, and does not cost the answer.
        assert ask(address, b"shop/a\n") == b"drain\n"


def test_a_client_that_stays_or_has_gone_holds_nobody() -> None:
    with agent([None, None, status(worker(1, 1, 0))]) as address, socket.create_connection(address):
        socket.create_connection(address).close()
        assert ask(address) == b"ready up 100%\n"


def test_nothing_to_listen_on_is_no_thread() -> None:
    made = Agent([], lambda: None)
    made.start()
    made.close()
