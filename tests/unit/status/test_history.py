"""Points of the page's curves."""

from __future__ import annotations

import pytest

from prefork.ipc.status import CountersStatus, QueueStatus, Status
from prefork.status.history import KEPT_S, History
from support.statuses import histogram, status, worker

T = 1_800_000_000.0


def at(uptime_s: float, requests: int, **values: object) -> Status:
    counters = CountersStatus(
        requests=requests,
        by_class=[0, requests - requests // 10, 0, 0, requests // 10],
        duration=values.pop("duration", histogram()),  # type: ignore[arg-type]
        queued=values.pop("queued", histogram()),  # type: ignore[arg-type]
    )
    return status(uptime_s=uptime_s, counters=counters, **values)


def test_rates_and_quantiles_are_those_of_the_time_between() -> None:
    history = History()
    history.add(at(10, 1000, duration=histogram(*[9.0] * 1000), cpu_s=7.0), T)
    later = histogram(*[9.0] * 1000, *[0.010] * 98, *[0.9] * 2)
    queue = QueueStatus(address="a", length=4, highest=9, limit=128)
    workers = [worker(1, busy=2), worker(2, busy=1)]
    history.add(
        at(
            12,
            1100,
            duration=later,
            queued=histogram(0.02),
            queues=[queue, queue],
            workers=workers,
            cpu_s=8.0,
        ),
        T + 2,
    )
    (point,) = history.since(0)
    assert (point.at_s, point.step_s, point.rate, point.errors) == (T + 2, 2.0, 50.0, 5.0)
    assert point.p50_s == pytest.approx(0.010, rel=0.25)
    assert point.p99_s == pytest.approx(0.9, rel=0.25)
    assert point.wait_p99_s == pytest.approx(0.02, rel=0.25)
    assert (point.busy, point.threads, point.waiting, point.cpu) == (3, 4, 8, 0.5)


def test_without_requests_there_is_no_quantile() -> None:
    history = History()
    history.add(at(10, 5), T)
    history.add(at(11, 5), T + 1)
    (point,) = history.since(0)
    assert (point.rate, point.p50_s, point.p99_s, point.wait_p99_s) == (0, None, None, None)


def test_statuses_that_come_fast_are_one_point() -> None:
    history = History()
    for tenth in range(31):
        history.add(at(10 + tenth / 10, tenth), T + tenth / 10)
    points = history.since(0)
    assert [point.step_s for point in points] == [pytest.approx(0.9, abs=0.2)] * 3
    assert sum(point.rate * point.step_s for point in points) == pytest.approx(27, abs=3)


def test_only_what_is_new_is_given_and_only_the_last_minutes_are_kept() -> None:
    history = History()
    for second in range(int(KEPT_S) + 100):
        history.add(at(second, second), T + second)
    last = T + KEPT_S + 99
    assert [point.at_s for point in history.since(last - 2)] == [last - 1, last]
    assert history.since(0)[0].at_s == last - KEPT_S


@pytest.mark.parametrize("again", [{"pid": 5}, {}])
def test_another_server_begins_anew(again: dict[str, int]) -> None:
    history = History()
    history.add(at(1000, 5000), T)
    history.add(at(1, 3, **again), T + 10)
    assert history.since(0) == []
    history.add(at(2, 5, **again), T + 11)
    assert [point.rate for point in history.since(0)] == [2.0]


def test_a_clock_that_is_set_back_does_not_bring_points_of_the_future() -> None:
    history = History()
    for second in range(3):
        history.add(at(second, second), T + second)
    history.add(at(3, 3), T - 3600)
    history.add(at(4, 4), T - 3599)
    assert [point.at_s for point in history.since(0)] == [T - 3599]
