"""The Date line: made once a second, and never older than its second when the loop keeps its appointments."""

from __future__ import annotations

from typing import Any

import pytest

from prefork.worker.loop import EventLoop
from prefork.worker.stamp import HeaderStamp
from support.serving import FakeClock

FIRST = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT (RFC 9110 section 5.6.7)


@pytest.mark.parametrize("into_s", [0.0, 0.25, 0.999])
def test_the_date_holds_until_the_second_is_over(into_s: float) -> None:
    stamp = HeaderStamp("prefork", FIRST)
    left_s = stamp.refresh(FIRST + into_s)
    assert left_s == pytest.approx(1.0 - into_s, abs=1e-6)
    assert stamp.both == b"Server: prefork\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    before = stamp.date
    assert stamp.refresh(FIRST + into_s + left_s) == pytest.approx(1.0, abs=1e-6)
    assert before != stamp.date == b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_a_clock_that_was_set_back_is_believed() -> None:
    stamp = HeaderStamp("prefork", FIRST + 10)
    stamp.refresh(FIRST)
    assert stamp.date == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


class Turns:
    """A loop that turns without waiting, each turn later by what the test says."""

    def __init__(self, *steps_s: float) -> None:
        self.clock = FakeClock()
        self.loop = EventLoop(self.clock, recheck_s=1.0)
        self.steps_s = list(steps_s)
        self.woken: list[float] = []
        self.turns: list[float] = []

    def on_turn(self) -> None:
        self.turns.append(self.loop.now)
        if not self.steps_s:
            self.loop.stop()
            return
        self.clock.now += self.steps_s.pop(0)
        self.loop.defer(lambda: None)

    def on_wake(self) -> float:
        assert len(self.turns) == len(set(self.turns)), "before whatever else the turn has"
        self.woken.append(self.loop.now)
        return 1.0

    def run(self, **options: Any) -> None:
        self.loop.defer(lambda: None)
        try:
            self.loop.run(self.on_turn, **options)
        finally:
            self.loop.close()


def test_the_loop_asks_in_the_first_turn_after_the_time_it_was_told() -> None:
    turns = Turns(0.25, 0.5, 0.25, 0.5, 5.0, 0.5)
    start = turns.clock.now
    turns.run(on_wake=turns.on_wake)
    assert [at - start for at in turns.woken] == [0.0, 1.0, 6.5]
    assert len(turns.turns) == 7


def test_without_anybody_to_ask() -> None:
    turns = Turns(10.0, 10.0)
    turns.run()
    assert len(turns.turns) == 3
