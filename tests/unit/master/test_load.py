"""Whom the pool needs least: read off the scoreboard, look by look."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from prefork.master.generations import Generations
from prefork.master.load import LoadMeter
from prefork.master.state import Phase, Pool, Worker


class FakeBoard:
    """Counters by worker."""

    def __init__(self) -> None:
        self.requests: dict[int, int] = {}
        self.busy: set[int] = set()

    def seats(self, worker: int) -> int:
        return 1

    def running(self, worker: int) -> list[None]:
        return [None] if worker in self.busy else []

    def totals_of(self, worker: int) -> SimpleNamespace:
        return SimpleNamespace(requests=self.requests.get(worker, 0))


class Measured:
    """Three workers with ids 11 to 13 in slots 1 to 3."""

    def __init__(self) -> None:
        self.pool = Pool(target=3)
        for slot in (1, 2, 3):
            worker = Worker(10 + slot, slot, 1, 0.0, pid=100 + slot, phase=Phase.ACCEPTING)
            self.pool.workers[worker.id] = worker
        self.board = FakeBoard()
        self.now = 0.0
        generations = SimpleNamespace(board=self.board, in_force=SimpleNamespace(listeners=[]))
        self.meter = LoadMeter(self.pool, cast("Generations", generations), lambda: self.now)

    def look(self) -> int | None:
        self.now += 1
        return self.meter.measure().idlest


def test_nobody_is_idle_at_the_first_look() -> None:
    assert Measured().look() is None


def test_of_those_idle_for_equally_long_the_last_one() -> None:
    measured = Measured()
    measured.look()
    assert measured.look() == 3


def test_who_has_served_since_is_not_idle_although_nothing_runs_at_the_look() -> None:
    measured = Measured()
    measured.look()
    measured.board.requests[13] = 1
    assert measured.look() == 2
    measured.board.requests[12] = 7
    assert measured.look() == 1


def test_idle_longest_wins_over_the_higher_number() -> None:
    measured = Measured()
    measured.look()
    measured.board.busy = {12, 13}
    measured.look()
    measured.board.busy = set()
    assert measured.look() == 1


def test_who_is_busy_or_leaves_is_not_chosen() -> None:
    measured = Measured()
    measured.look()
    measured.board.busy = {13}
    measured.pool.workers[12].phase = Phase.DRAINING
    assert measured.look() == 1
    measured.board.busy = {11, 13}
    assert measured.look() is None
