"""How the master answers the status process: together, never waiting, and not too often."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from prefork.ipc.channel import Channel
from prefork.ipc.messages import StatusGiven, StatusWanted
from prefork.ipc.messages import Stop as StopOrder
from prefork.master.handover import StatusState
from prefork.master.journal import Journal
from prefork.master.processes import Exit
from prefork.master.statuskeeper import BURST_S, SHARE, StatusKeeper
from prefork.observe.log import Log

COST_S = 0.01
PID = 4711


class Process:
    """The other ends of a status process that the program before had."""

    def __init__(self) -> None:
        orders, self.orders = Channel.pair()
        questions, self.questions = Channel.pair()
        self.stacks_fd = os.memfd_create("stacks")
        fds = [os.dup(each.fileno()) for each in (orders, questions)]
        orders.close()
        questions.close()
        self.state = StatusState(PID, *fds, self.stacks_fd)

    def ask(self) -> None:
        assert self.questions.send(StatusWanted())

    def answers(self) -> list[bytes]:
        found = []
        while (received := self.questions.receive()) is not None:
            assert isinstance(received.message, StatusGiven)
            with os.fdopen(received.fds[0], "rb") as file:
                file.seek(0)
                found.append(file.read())
        return found


class Master:
    """A keeper with a clock of its own, at whose answers time passes."""

    def __init__(self, log_fd: int) -> None:
        self.now = 1000.0
        self.asked = 0
        self.watched: list[object] = []
        self.resources = SimpleNamespace(status_listeners=[])
        generations: Any = SimpleNamespace(in_force=self.resources, log=Journal(Log(log_fd, "debug")))
        links: Any = SimpleNamespace(watch=self.watched.append, unwatch=self.watched.remove)
        processes: Any = SimpleNamespace(kill=self._kill)
        self.killed: list[int] = []
        self.keeper = StatusKeeper(
            processes, links, generations, self._describe, lambda: self.now, lambda: self.now
        )

    def _describe(self) -> bytes:
        self.now += COST_S
        self.asked += 1
        return b"x" * 1_000_000 + b"%d" % self.asked

    def _kill(self, pid: int, number: int) -> None:
        self.killed.append(pid)


@pytest.fixture
def log_fd() -> Iterator[int]:
    fd = os.memfd_create("log")
    yield fd
    os.close(fd)


@pytest.fixture
def pair(log_fd: int) -> Iterator[tuple[Master, Process]]:
    master, process = Master(log_fd), Process()
    master.keeper.take_over([process.state])
    yield master, process
    master.keeper.turn(ending=True)
    master.keeper.ended(Exit(PID, code=0))
    process.orders.close()
    process.questions.close()


def test_several_questions_get_one_answer(pair: tuple[Master, Process]) -> None:
    master, process = pair
    for _ in range(5):
        process.ask()
    master.keeper.turn()
    (answer,) = process.answers()
    assert len(answer) == 1_000_001 and answer.endswith(b"x1")
    master.keeper.turn()
    assert process.answers() == [] and master.asked == 1


def test_who_asks_without_end_gets_a_share_of_the_time_and_who_asks_seldom_never_waits(
    pair: tuple[Master, Process],
) -> None:
    master, process = pair
    began, answered = master.now, 0
    while master.now < began + 100:
        process.ask()
        master.keeper.turn()
        answered += len(process.answers())
        deadline = master.keeper.deadline
        if deadline is not None and deadline > master.now:
            master.now = deadline
    assert answered * COST_S == pytest.approx((100 + BURST_S) * SHARE, rel=0.05)
    master.now += 10
    for _ in range(int(BURST_S * SHARE / COST_S)):
        process.ask()
        master.keeper.turn()
        assert len(process.answers()) == 1


def test_one_that_takes_no_answer_costs_nothing(pair: tuple[Master, Process]) -> None:
    master, process = pair
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    for _ in range(50):
        master.now += 10
        process.ask()
        master.keeper.turn()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert process.answers()[-1].endswith(b"x50")


def test_one_of_the_program_before_is_told_to_leave_and_killed_if_it_does_not(
    pair: tuple[Master, Process],
) -> None:
    master, process = pair
    master.keeper.turn(ending=True)
    received = process.orders.receive()
    assert received is not None and isinstance(received.message, StopOrder)
    assert not master.keeper.finished and master.killed == []
    assert master.keeper.deadline is not None
    master.now = master.keeper.deadline
    master.keeper.turn(ending=True)
    assert master.killed == [PID]
    assert master.keeper.ended(Exit(PID, signal=9)) and master.keeper.finished


def test_its_end_is_noticed_and_a_strangers_is_not(pair: tuple[Master, Process]) -> None:
    master, _ = pair
    assert not master.keeper.ended(Exit(1, code=0))
    assert len(master.watched) == 2
    assert master.keeper.ended(Exit(PID, signal=9))
    assert master.keeper.finished and master.watched == []


def test_one_that_sends_nonsense_is_hung_up_on(pair: tuple[Master, Process]) -> None:
    master, process = pair
    process.questions._sock.send(b"nonsense")
    master.keeper.turn()
    assert master.watched == []
    assert not process.questions.send(StatusWanted())
    assert not process.orders.send(StatusWanted()), "the end of its orders makes it leave"
