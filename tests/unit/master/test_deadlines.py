"""What is done about requests that take too long, and when it is looked at next."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.ipc.seat import Running
from prefork.master.deadlines import (
    EndWorker,
    Interrupt,
    ReplaceWorker,
    RequestLimits,
    StandStill,
    TellSlow,
    Watch,
    WorkerView,
    elapsed_s,
    look,
)

LIMITS = RequestLimits(slow_s=10.0, timeout_s=30.0, kill_after_s=5.0)


def request(since: float, *, seat: int = 0, number: int = 1, extension_s: float = 0.0) -> Running:
    at = int(since * 1e9)
    return Running(seat, number, at, at, int(extension_s * 1e9), "GET /slow HTTP/1.1", "192.0.2.7", 99)


def worker(
    *running: Running,
    limits: RequestLimits = LIMITS,
    seats: int = 4,
    connections: int = 9,
    draining: bool = False,
) -> WorkerView:
    return WorkerView(1, limits, seats, connections, draining, running)


def test_the_steps_of_a_request_that_never_ends() -> None:
    watch = Watch()
    said = []
    now = 100.0
    view = worker(request(100.0))
    while now < 140.0:
        said += [(round(now - 100.0, 1), type(each).__name__) for each in look(watch, [view], [LIMITS], now)]
        assert watch.next_look is not None
        now = max(watch.next_look, now + 0.001)
    # Interrupted once a second until it is stuck.
    assert [each for each in said if each[1] != "Interrupt"] == [(10.0, "TellSlow"), (35.0, "ReplaceWorker")]
    assert [at for at, name in said if name == "Interrupt"] == [30.0, 31.0, 32.0, 33.0, 34.0]


def test_only_the_first_interruption_is_news() -> None:
    watch = Watch()
    view = worker(request(0.0))
    (first,) = look(watch, [view], [LIMITS], 30.0)
    (second,) = look(watch, [view], [LIMITS], 31.5)
    assert isinstance(first, Interrupt)
    assert isinstance(second, Interrupt)
    assert (first.again, second.again) == (False, True)


def test_a_slow_request_is_told_once() -> None:
    watch = Watch()
    assert [type(each) for each in look(watch, [worker(request(0.0))], [LIMITS], 11.0)] == [TellSlow]
    assert look(watch, [worker(request(0.0))], [LIMITS], 12.0) == []
    # The same seat, another request.
    (again,) = look(watch, [worker(request(0.0, number=2))], [LIMITS], 12.0)
    assert isinstance(again, TellSlow)


def test_output_sets_the_clock_back() -> None:
    streaming = request(0.0)._replace(progress_ns=int(95e9))
    assert elapsed_s(Watch(), streaming, 100.0) == 5.0
    assert look(Watch(), [worker(streaming)], [LIMITS], 100.0) == []


def test_an_extension_moves_every_limit() -> None:
    view = worker(request(0.0, extension_s=100.0))
    watch = Watch()
    assert look(watch, [view], [LIMITS], 99.0) == []
    assert [type(each) for each in look(watch, [view], [LIMITS], 110.0)] == [TellSlow]
    assert [type(each) for each in look(watch, [view], [LIMITS], 130.0)] == [Interrupt]


def test_the_time_to_react_counts_from_the_interruption_not_from_when_it_was_due() -> None:
    """The master may have stood still, and the request could do nothing about it."""
    watch = Watch()
    view = worker(request(0.0))
    assert [type(each) for each in look(watch, [view], [LIMITS], 500.0)] == [Interrupt]
    assert not any(isinstance(each, ReplaceWorker) for each in look(watch, [view], [LIMITS], 504.9))
    assert [type(each) for each in look(watch, [view], [LIMITS], 505.0)] == [ReplaceWorker]


def test_a_worker_that_drains_is_ended_when_only_stuck_requests_are_left() -> None:
    watch = Watch()
    stuck = request(0.0)
    look(watch, [worker(stuck)], [LIMITS], 30.0)
    look(watch, [worker(stuck)], [LIMITS], 35.0)
    # Its replacement does not serve yet; then a sibling runs, then one waits for a slow reader, then nobody does.
    assert look(watch, [worker(stuck, connections=1)], [LIMITS], 36.0) == []
    sibling = request(30.0, seat=1)
    assert look(watch, [worker(stuck, sibling, draining=True, connections=2)], [LIMITS], 37.0) == []
    assert look(watch, [worker(stuck, draining=True, connections=2)], [LIMITS], 38.0) == []
    (end,) = look(watch, [worker(stuck, draining=True, connections=1)], [LIMITS], 39.0)
    assert isinstance(end, EndWorker)
    assert end.why == "stuck in GET /slow HTTP/1.1 for 39.0s, kill_after = 5s"


def test_with_one_thread_nobody_else_in_the_worker_can_be_waited_for() -> None:
    watch = Watch()
    stuck = request(0.0)
    look(watch, [worker(stuck, seats=1)], [LIMITS], 30.0)
    look(watch, [worker(stuck, seats=1)], [LIMITS], 35.0)
    (end,) = look(watch, [worker(stuck, seats=1, draining=True, connections=50)], [LIMITS], 36.0)
    assert isinstance(end, EndWorker)


def test_a_request_that_ends_after_all_ends_nothing() -> None:
    watch = Watch()
    stuck = request(0.0)
    look(watch, [worker(stuck)], [LIMITS], 30.0)
    look(watch, [worker(stuck)], [LIMITS], 35.0)
    assert look(watch, [worker(draining=True, connections=0)], [LIMITS], 36.0) == []
    assert watch.marks == {}


@pytest.mark.parametrize("limits", [RequestLimits(), RequestLimits(kill_after_s=5.0)])
def test_without_limits_nobody_ever_looks(limits: RequestLimits) -> None:
    watch = Watch()
    assert look(watch, [worker(request(0.0), limits=limits)], [limits], 1e6) == []
    assert watch.next_look is None


def test_what_nothing_limits_any_more_asks_for_no_look() -> None:
    watch = Watch()
    limits = RequestLimits(slow_s=1.0)
    # Those who were told of it, and a generation that leaves with its limit.
    look(watch, [worker(request(0.0), limits=limits)], [limits], 2.0)
    look(watch, [worker(request(0.0), limits=limits)], [RequestLimits()], 3.0)
    assert watch.next_look is None


def test_an_idle_server_is_woken_once_in_the_shortest_limit() -> None:
    watch = Watch()
    look(watch, [worker()], [LIMITS, RequestLimits(timeout_s=3.0)], 100.0)
    assert watch.next_look == 103.0


def test_kill_after_zero_never_replaces() -> None:
    limits = RequestLimits(timeout_s=1.0)
    watch = Watch()
    view = worker(request(0.0), limits=limits)
    said = [each for now in range(1, 1000) for each in look(watch, [view], [limits], float(now))]
    assert {type(each) for each in said} == {Interrupt}


def test_time_in_which_the_machine_stood_still_is_no_requests() -> None:
    watch = Watch()
    view = worker(request(100.0), request(140.0, seat=1), request(148.0, seat=2))
    watch.stand_stills.append(StandStill(103.0, 143.0))
    assert look(watch, [view], [LIMITS], 143.0) == []
    # The first has had 3 s before and the second nothing: both are slow when they have had 10.
    said = {}
    now = 143.0
    while now < 175.0:
        for decision in look(watch, [view], [LIMITS], now):
            said.setdefault((decision.request.seat, type(decision)), round(now - 143.0, 1))  # type: ignore[union-attr]
        assert watch.next_look is not None
        now = max(watch.next_look, now + 0.001)
    assert [said[each, TellSlow] for each in range(3)] == [7.0, 10.0, 15.0]
    assert said[0, Interrupt] == 27.0


def test_a_stand_still_is_forgotten_with_those_who_saw_it() -> None:
    watch = Watch()
    watch.stand_stills.append(StandStill(103.0, 143.0))
    look(watch, [worker(request(142.0))], [LIMITS], 150.0)
    assert len(watch.stand_stills) == 1
    look(watch, [worker(request(143.0))], [LIMITS], 150.0)
    assert watch.stand_stills == []


durations = st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0, 30.0])


@settings(max_examples=300, deadline=None)
@given(
    limits=st.builds(RequestLimits, durations, durations, durations),
    begins=st.lists(st.floats(0.0, 50.0), min_size=1, max_size=4),
    lasts=st.lists(st.floats(0.001, 100.0), min_size=4, max_size=4),
    lateness=st.floats(0.0, 0.4),
)
def test_each_limit_is_noticed_in_time_and_in_order(
    limits: RequestLimits, begins: list[float], lasts: list[float], lateness: float
) -> None:
    """Looking only when told to (and up to `lateness` later), nothing is done too early, twice, or more than that too late."""
    watch = Watch()
    told: dict[int, list[tuple[str, float]]] = {index: [] for index in range(len(begins))}
    now = 0.0
    while now < 200.0:
        running = [
            request(begin, seat=index)
            for index, begin in enumerate(begins)
            if begin <= now < begin + lasts[index]
        ]
        for decision in look(watch, [worker(*running, limits=limits)], [limits], now):
            assert not isinstance(decision, EndWorker)
            if not (isinstance(decision, Interrupt) and decision.again):
                told[decision.request.seat].append(
                    (type(decision).__name__, now - begins[decision.request.seat])
                )
        if watch.next_look is None:
            break
        assert now <= watch.next_look < float("inf")
        now = max(watch.next_look, now + 0.01) + lateness
    slack = lateness + 0.02
    for index, events in told.items():
        names = [name for name, _ in events]
        assert len(set(names)) == len(names)
        assert names == sorted(names, key=["TellSlow", "Interrupt", "ReplaceWorker"].index)
        due = {
            "TellSlow": limits.slow_s,
            "Interrupt": limits.timeout_s,
            "ReplaceWorker": limits.timeout_s + limits.kill_after_s,
        }
        for name, after in events:
            assert after >= due[name] - 1e-6
        last = lasts[index]
        if limits.timeout_s and last > limits.timeout_s + slack:
            assert dict(events)["Interrupt"] <= limits.timeout_s + slack
        if (
            limits.slow_s
            and last > limits.slow_s + slack
            and not 0 < limits.timeout_s <= limits.slow_s + slack
        ):
            assert dict(events)["TellSlow"] <= limits.slow_s + slack
        if limits.timeout_s and limits.kill_after_s and last > due["ReplaceWorker"] + 2 * slack:
            assert dict(events)["ReplaceWorker"] <= due["ReplaceWorker"] + 2 * slack
