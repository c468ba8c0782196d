"""A fault of the master's own must not take the site down; a master that cannot work at all must not spin."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from prefork.master import supervisor
from prefork.master.events import PauseAsked, StopAsked
from prefork.master.journal import Journal
from prefork.master.state import Pool
from prefork.observe.log import Log


class FakeLinks:
    """Fails as often as it is told to, then lets the pool stop."""

    def __init__(self, pool: Pool, faults: int) -> None:
        self.pool = pool
        self.faults = faults

    def wait(self, timeout_s: float | None) -> None:
        if self.faults:
            self.faults -= 1
            raise OSError("out of everything")

    def watch(self, other: object) -> None:
        pass

    def receive(self, log: Journal) -> list[Any]:
        return [StopAsked(fast=False, by="test")]


def run(faults: int, log_fd: int) -> int:
    pool = Pool()
    inbox = SimpleNamespace(take=list)
    processes = SimpleNamespace(reap=lambda learn: [])
    processes.kill = lambda pid, number: None
    generations = SimpleNamespace(log=Journal(Log(log_fd, "info")))
    links: Any = FakeLinks(pool, faults)
    stack_taking = SimpleNamespace(deadline=None, turn=list)
    overseer: Any = SimpleNamespace(next_look=None, look=list, stack_taking=stack_taking)
    control = SimpleNamespace(deadline=None, take=list)
    parts: Any = (
        processes,
        inbox,
        links,
        generations,
        overseer,
        control,
        SimpleNamespace(),
        SimpleNamespace(),
    )
    status_keeper = SimpleNamespace(
        deadline=None, turn=lambda ending: None, finished=True, ended=lambda exit: False
    )
    service = SimpleNamespace(deadline=None, turn=list)
    statsd = SimpleNamespace(deadline=None, turn=list)
    queue_watch = SimpleNamespace(deadline=None, turn=list)
    parts += (status_keeper, service, statsd, queue_watch)
    loop = supervisor.Supervisor(pool, *parts, clock=lambda: 0.0)
    return loop.run(PauseAsked())


def test_a_turn_that_fails_is_logged_and_the_next_one_goes_on() -> None:
    fd = os.memfd_create("log")
    assert run(supervisor.MAX_FAULTS, fd) == 0
    text = os.pread(fd, 10_000_000, 0).decode()
    os.close(fd)
    assert text.count("event=internal_error") == supervisor.MAX_FAULTS
    assert "out of everything" in text


def test_a_master_that_only_fails_ends() -> None:
    fd = os.memfd_create("log")
    with pytest.raises(OSError, match="out of everything"):
        run(supervisor.MAX_FAULTS + 1, fd)
    os.close(fd)
