"""Whoever waits for a reload is told how the one that includes their change ended."""

from __future__ import annotations

import pytest

from prefork.ipc.control import Result
from prefork.master.notes import Note
from prefork.master.waiting import GenerationWait


def hear(wait: GenerationWait, *events: tuple[str, dict[str, object]]) -> Result | None:
    """The result, which must come with the last event or not at all."""
    for index, (event, fields) in enumerate(events):
        result = wait.hear(Note("info", event, fields, "Traceback" if event.endswith("failed") else ""))
        if result is not None:
            assert index == len(events) - 1, f"over too early, with {event}"
            return result
    return None


@pytest.mark.parametrize("what", ["reload", "rollback"])
def test_it_ends_when_the_generation_serves(what: str) -> None:
    result = hear(GenerationWait(what), (f"{what}_started", {"gen": 4}), (f"{what}_done", {"gen": 4}))
    assert result == Result(ok=True, text="generation 4 serves")


def test_the_one_that_was_going_on_does_not_count() -> None:
    events = [
        ("reload_queued", {"after_gen": 2}),
        ("reload_failed", {"gen": 2}),
        ("reload_started", {"gen": 3}),
        ("reload_done", {"gen": 3}),
    ]
    result = hear(GenerationWait("reload"), *events)
    assert result is not None
    assert result.ok


def test_a_generation_for_a_dead_zygote_does_not_count() -> None:
    restart = [("reload_started", {"gen": 2, "reason": "zygote_died"}), ("reload_done", {"gen": 2})]
    assert hear(GenerationWait("reload"), *restart) is None


def test_a_failure_brings_the_traceback_and_who_serves() -> None:
    failed = ("reload_failed", {"gen": 2, "stage": "import", "error": "broken", "serving_gen": 1})
    result = hear(GenerationWait("reload"), ("reload_started", {"gen": 2}), failed)
    assert result is not None
    assert (result.ok, result.stage, result.error, result.traceback) == (
        False,
        "import",
        "broken",
        "Traceback",
    )
    assert result.text == "generation 1 goes on serving"


def test_every_problem_of_the_settings_is_there() -> None:
    result = hear(
        GenerationWait("reload"),
        ("settings_invalid", {"problem": "of an earlier one"}),
        ("reload_started", {"gen": 2}),
        ("settings_invalid", {"problem": "one"}),
        ("settings_refused", {"problem": "two"}),
        ("reload_failed", {"stage": "settings", "error": "one; two", "serving_gen": 1}),
    )
    assert result is not None
    assert result.problems == ["one", "two"]


def test_a_refusal_ends_it_at_once() -> None:
    result = hear(GenerationWait("rollback"), ("rollback_refused", {"error": "none is kept"}))
    assert result == Result(ok=False, error="none is kept")


def test_a_stop_ends_it() -> None:
    result = hear(GenerationWait("reload"), ("reload_started", {"gen": 2}), ("stopping", {"by": "SIGTERM"}))
    assert result is not None
    assert "SIGTERM" in result.error
