"""Asking the master: together, and not for long."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from prefork.ipc.channel import Channel
from prefork.ipc.messages import Spawned, StatusGiven, StatusWanted
from prefork.status.source import Source
from support.deadline import DEADLINE_S, SLOWNESS, Deadline
from support.statuses import status

LONG_S = DEADLINE_S * SLOWNESS


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Master:
    """The other end of the channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.given = 0

    def wait_for_question(self) -> None:
        assert self.channel.wait(LONG_S)
        received = self.channel.receive()
        assert received is not None and isinstance(received.message, StatusWanted)

    def answer(self, uptime_s: float | None = None) -> None:
        self.given += 1
        said = status(uptime_s=float(self.given) if uptime_s is None else uptime_s)
        self.give(msgspec.json.encode(said))

    def give(self, data: bytes) -> None:
        fd = os.memfd_create("test")
        os.write(fd, data)
        assert self.channel.send(StatusGiven(), [fd])
        os.close(fd)

    def serve(self, questions: int) -> None:
        for _ in range(questions):
            self.wait_for_question()
            self.answer()


@pytest.fixture
def pair() -> Iterator[tuple[Master, Channel]]:
    ours, theirs = Channel.pair()
    yield Master(ours), theirs
    ours.close()
    theirs.close()


def test_each_question_is_answered_afresh(pair: tuple[Master, Channel]) -> None:
    master, channel = pair
    source = Source(channel, time.monotonic, LONG_S)
    with ThreadPoolExecutor() as pool:
        served = pool.submit(master.serve, 2)
        for expected in (1.0, 2.0):
            answer = source.ask()
            assert answer is not None and answer.status.uptime_s == expected
            assert source.latest is answer and source.silent_s < LONG_S
        served.result()


def test_whoever_asks_meanwhile_shares_the_answer(pair: tuple[Master, Channel]) -> None:
    master, channel = pair
    looks: Counter[int] = Counter()

    def clock() -> float:
        looks[threading.get_ident()] += 1
        return time.monotonic()

    source = Source(channel, clock, LONG_S)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(source.ask)
        master.wait_for_question()
        others = [pool.submit(source.ask) for _ in range(5)]
        # The second look at the clock is taken with the lock held, just before waiting; the first thread has two by now.
        deadline = Deadline()
        while sum(count >= 2 for count in looks.values()) < 6:
            assert not deadline.passed
            time.sleep(0.001)
        master.answer()
        answers = [each.result(LONG_S) for each in (first, *others)]
    assert all(answer is answers[0] for answer in answers)
    assert answers[0] is not None


def test_nobody_waits_longer_than_the_patience(pair: tuple[Master, Channel]) -> None:
    _, channel = pair
    source = Source(channel, time.monotonic, 0.05)
    with ThreadPoolExecutor(4) as pool:
        assert [each.result(LONG_S) for each in [pool.submit(source.ask) for _ in range(4)]] == [None] * 4
    assert source.latest is None


def test_a_silent_master_is_asked_once_and_a_late_answer_is_not_taken_for_a_fresh_one(
    pair: tuple[Master, Channel],
) -> None:
    master, channel = pair
    source = Source(channel, time.monotonic, 0.05)
    assert source.ask() is None
    assert source.ask() is None
    master.wait_for_question()
    assert master.channel.receive() is None, "one question is enough"
    master.answer(uptime_s=1.0)  # nobody knows how long it has lain there when it is read
    with ThreadPoolExecutor() as pool:
        source._patience_s = LONG_S
        asked = pool.submit(source.ask)
        master.wait_for_question()
        master.answer(uptime_s=2.0)
        answer = asked.result(LONG_S)
    assert answer is not None and answer.status.uptime_s == 2.0


def test_a_master_that_is_gone_or_talks_nonsense_is_no_answer(pair: tuple[Master, Channel]) -> None:
    master, channel = pair
    source = Source(channel, time.monotonic, LONG_S)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(source.ask)
        master.wait_for_question()
        master.give(b'{"v": 1}')
        assert asked.result(LONG_S) is None
    master.channel.close()
    assert source.ask() is None


def test_a_long_answer_arrives_whole(pair: tuple[Master, Channel]) -> None:
    master, channel = pair
    source = Source(channel, time.monotonic, LONG_S)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(source.ask)
        master.wait_for_question()
        master.give(msgspec.json.encode(status(listeners=["x" * 1000] * 3000)))
        answer = asked.result(LONG_S)
    assert answer is not None and len(answer.data) > 3_000_000


def test_what_does_not_belong_there_leaks_no_descriptor(pair: tuple[Master, Channel]) -> None:
    master, channel = pair
    source = Source(channel, time.monotonic, 0.05)
    fd = os.memfd_create("test")
    before = open_descriptors()
    for _ in range(20):
        master.channel.send(Spawned(worker_id=1, pid=1), [fd])
        master.channel.send(StatusGiven(), [fd, fd])
    assert source.ask() is None
    assert open_descriptors() == before
    os.close(fd)
