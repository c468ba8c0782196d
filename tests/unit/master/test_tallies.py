"""Ends of workers and reloads, counted by few words."""

from __future__ import annotations

import pytest

from prefork.master.notes import Note
from prefork.master.tallies import Tallies


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"how": "signal 11 (SIGSEGV)"}, "crashed"),
        ({"how": "signal 9", "killed": "not ready after 3s", "reason": "stop"}, "killed"),
        ({"how": "exit code 0", "reason": "max_requests = 1000"}, "max_requests"),
        ({"how": "exit code 0", "reason": "reload", "killed": None}, "reload"),
        ({"how": "exit code 1", "stage": "import"}, "boot_failed"),
    ],
)
def test_why_a_worker_ended(fields: dict[str, object], word: str) -> None:
    tallies = Tallies()
    tallies.hear(Note("info", "worker_exited", fields))
    assert tallies.exits == {word: 1} and not tallies.reloads


def test_how_reloads_ended() -> None:
    tallies = Tallies()
    for event in (
        "reload_started",
        "reload_done",
        "reload_failed",
        "reload_failed",
        "rollback_done",
        "ready",
    ):
        tallies.hear(Note("info", event, {}))
    assert tallies.reloads == {"done": 1, "failed": 2, "rolled_back": 1}
    assert not tallies.exits
