"""When newcomers have their turn: after a moment, while the threads get something done, less often when nobody comes."""

from __future__ import annotations

import pytest

from prefork.worker.newcomers import MAX_PATIENCE_S, PATIENCE_S, STALE_S, Turn


@pytest.fixture
def turn() -> Turn:
    turn = Turn()
    turn.begin(100.0, 5)
    return turn


def test_nothing_is_due_before_somebody_waits_for_a_thread() -> None:
    assert not Turn().is_due(1e9, 1)


def test_after_a_moment_in_which_something_was_finished(turn: Turn) -> None:
    assert not turn.is_due(100.0 + PATIENCE_S / 2, 6)
    assert not turn.is_due(100.0 + 1000 * PATIENCE_S, 5), "threads that finish nothing"
    assert turn.is_due(100.0 + PATIENCE_S, 6)


def test_a_moment_of_a_free_thread_puts_nothing_off(turn: Turn) -> None:
    turn.stopped_listening(100.5, 100.5 - STALE_S / 2)
    turn.begin(100.5, 6)
    assert turn.is_due(100.5, 6)


def test_who_has_listened_for_long_begins_anew(turn: Turn) -> None:
    turn.stopped_listening(100.5, 100.5 - 2 * STALE_S)
    turn.begin(100.5, 6)
    assert not turn.is_due(100.5, 7)
    assert turn.is_due(100.5 + PATIENCE_S, 7)


def test_a_newcomer_who_came_in_as_usual_ends_it(turn: Turn) -> None:
    turn.accepted()
    assert not turn.is_due(1e9, 6)
    turn.begin(200.0, 6)
    assert turn.is_due(200.0 + PATIENCE_S, 7)


def test_looks_that_find_nobody_become_rare_and_one_that_does_ends_that(turn: Turn) -> None:
    now, finished, patience_s = 100.0, 5, PATIENCE_S
    for _ in range(6):
        now, finished = now + patience_s, finished + 1
        assert not turn.is_due(now - PATIENCE_S / 2, finished)
        assert turn.is_due(now + PATIENCE_S / 100, finished)
        turn.looked(now, finished, found=False)
        patience_s = min(2 * patience_s, MAX_PATIENCE_S)
    assert patience_s == MAX_PATIENCE_S
    turn.looked(now, finished, found=True)
    assert turn.is_due(now + 1.01 * PATIENCE_S, finished + 1)
