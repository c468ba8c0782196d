"""Stacks on demand: one process at a time, and none of them holds the master."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from prefork.ipc.boot import STACKS_SIGNAL
from prefork.master.stacks import Stacks, stack_of_thread
from prefork.master.stacktaking import PATIENCE_S, POLL_S, StackTaking
from support.serving import FakeClock


class Scene:
    """Processes that write when the test says so."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stacks = Stacks.create()
        self.killed: list[int] = []
        self.gone: set[int] = set()
        self.answers: list[tuple[int, str]] = []
        self.taking = StackTaking(self._kill, self.clock)

    def _kill(self, pid: int, number: int) -> None:
        assert number == STACKS_SIGNAL
        assert pid not in self.gone
        self.killed.append(pid)

    def ask(self, *pids: int) -> None:
        for pid in pids:
            self.taking.ask(
                pid,
                self.stacks,
                lambda pid=pid: pid not in self.gone,  # type: ignore[misc]
                lambda text, pid=pid: self.answers.append((pid, text)),  # type: ignore[misc]
            )

    def write(self, text: bytes) -> None:
        os.write(self.stacks.fd, text)

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.taking.turn()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.stacks.close()


def test_what_is_written_is_handed_over_when_it_is_complete(scene: Scene) -> None:
    scene.ask(1)
    assert scene.killed == [1]
    for part in (b"Thread 1\n", b"  File x\n"):
        scene.write(part)
        scene.pass_time(POLL_S)
        assert scene.answers == []
    scene.pass_time(POLL_S)
    assert scene.answers == [(1, "Thread 1\n  File x\n")]
    assert scene.taking.deadline is None


def test_processes_are_asked_one_after_the_other(scene: Scene) -> None:
    scene.ask(1, 2)
    assert scene.killed == [1]
    scene.write(b"one")
    for _ in range(3):
        scene.pass_time(POLL_S)
    assert scene.killed == [1, 2]
    scene.write(b"two")
    for _ in range(3):
        scene.pass_time(POLL_S)
    assert scene.answers == [(1, "one"), (2, "two")]


def test_what_somebody_else_left_there_is_not_taken_for_an_answer(scene: Scene) -> None:
    scene.write(b"a crash long ago")
    scene.ask(1)
    scene.write(b"now")
    for _ in range(3):
        scene.pass_time(POLL_S)
    assert scene.answers == [(1, "now")]


def test_one_that_says_nothing_is_given_up(scene: Scene) -> None:
    scene.ask(1, 2)
    assert scene.taking.deadline == scene.clock.now + POLL_S
    scene.pass_time(PATIENCE_S)
    assert scene.answers == [(1, "")]
    assert scene.killed == [1, 2]


def test_one_that_has_gone_is_sent_no_signal(scene: Scene) -> None:
    scene.ask(1, 2, 3)
    scene.gone = {1, 2}
    scene.pass_time(POLL_S)
    assert scene.answers == [(1, ""), (2, "")]
    assert scene.killed == [1, 3]


def test_the_stack_of_a_request_has_the_application_s_lines_alone() -> None:
    """Not how prefork came to call it, nor how every thread begins; what waits in `threading` is the application's."""
    text = """Thread 0x000000000000002a (most recent call first):
  File "/usr/lib/python3/threading.py", line 320 in wait
  File "/srv/shop/orders.py", line 7 in pay
  File "/usr/lib/prefork/wsgi/handler.py", line 100 in respond
  File "/usr/lib/prefork/worker/executors.py", line 100 in _serve
  File "/usr/lib/python3/threading.py", line 982 in run
  File "/usr/lib/python3/threading.py", line 1045 in _bootstrap_inner
  File "/usr/lib/python3/threading.py", line 1002 in _bootstrap

Current thread 0x000000000000002b (most recent call first):
  File "/srv/shop/other.py", line 1 in other
"""
    assert stack_of_thread(text, 0x2A).splitlines() == [
        '  File "/usr/lib/python3/threading.py", line 320 in wait',
        '  File "/srv/shop/orders.py", line 7 in pay',
    ]
    assert stack_of_thread(text, 0x2C) == ""
