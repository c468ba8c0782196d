"""When a balancer may send requests."""

from __future__ import annotations

import pytest

from prefork.status.readiness import unready
from support.statuses import status, worker


@pytest.mark.parametrize("state", ["serving", "reloading", "rolling back"])
def test_a_server_with_a_worker_that_accepts_is_ready(state: str) -> None:
    workers = [worker(1, state="booting"), worker(2)]
    assert unready(status(state=state, workers=workers, workers_wanted=2)) is None


@pytest.mark.parametrize("state", ["starting", "paused", "draining", "stopping", "something new"])
def test_one_that_does_not_serve_or_is_about_to_stop_says_so(state: str) -> None:
    reason = unready(status(state=state))
    assert reason is not None and reason.startswith(state)


def test_one_whose_workers_all_died_is_not() -> None:
    broken = status(workers=[worker(1, state="booting")], workers_wanted=3)
    assert unready(broken) == "no worker accepts connections (1 of 3 are there)"


def test_one_at_rest_is_ready_for_the_first_connection_wakes_a_worker() -> None:
    assert unready(status(workers=[], workers_wanted=0)) is None


def test_a_stop_that_is_under_way_says_for_how_long() -> None:
    assert unready(status(state="stopping", draining_since_s=12.3)) == "stopping for 12 s"
