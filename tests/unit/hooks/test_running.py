"""Hooks: what they are called with, and that nothing they do reaches whoever calls them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import prefork
from prefork.errors import BootError
from prefork.hooks import registry
from prefork.hooks.running import run_hooks
from prefork.wsgi.loader import load_callable
from support.deadline import SLOWNESS
from support.serving import RecordingLog

ARGUMENTS = {"worker": 2, "generation": 3, "pid": 99}


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_registered", {})
    yield
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def run(*functions: Callable[..., Any], timeout_s: float = 60.0 * SLOWNESS) -> RecordingLog:
    for function in functions:
        prefork.after_fork(function)
    log = RecordingLog()
    run_hooks("after_fork", ARGUMENTS, timeout_s, log)
    return log


def test_a_function_gets_the_arguments_it_names() -> None:
    seen: list[object] = []

    class Connection:
        def open(self, generation: int) -> None:
            seen.append(generation)

    log = run(
        lambda: seen.append("nothing"),
        lambda worker: seen.append(worker),
        lambda worker, pid=0: seen.append((worker, pid)),
        lambda **everything: seen.append(everything),
        lambda *, generation: seen.append(generation),
        Connection().open,
    )
    assert seen == ["nothing", 2, (2, 99), ARGUMENTS, 3, 3]
    assert log.lines == []


@pytest.mark.parametrize(
    "error", [ValueError("broken"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr
)
def test_an_error_is_told_and_the_next_function_is_called(error: BaseException) -> None:
    called: list[int] = []

    def broken() -> None:
        raise error

    log = run(broken, lambda: called.append(1))
    assert called == [1]
    fields = log.fields("hook_failed")
    assert fields["hook"] == "after_fork"
    assert str(fields["function"]).endswith("broken")
    text = str(log.fields("traceback")["text"])
    assert "in broken" in text
    assert "prefork/hooks" not in text, "our own frames say nothing"


def test_a_missing_argument_is_told() -> None:
    fields = run(lambda color: None).fields("hook_failed")
    assert "color" in str(fields["error"])


def test_a_hook_that_hangs_is_interrupted() -> None:
    called: list[int] = []
    started = time.monotonic()
    log = run(lambda: time.sleep(600 * SLOWNESS), lambda: called.append(1), timeout_s=0.05)
    assert time.monotonic() - started < 300 * SLOWNESS
    assert called == [1]
    assert log.fields("hook_failed")["error"] == "interrupted after hooks.timeout = 0.05s"
    assert "sleep" in str(log.fields("traceback")["text"])


def test_a_hook_that_catches_everything_is_interrupted_again() -> None:
    def stubborn() -> None:
        try:
            time.sleep(600 * SLOWNESS)
        except BaseException:  # noqa: BLE001
            time.sleep(600 * SLOWNESS)

    assert "interrupted" in str(run(stubborn, timeout_s=0.05).fields("hook_failed")["error"])


def test_a_hook_may_take_the_alarm_for_itself() -> None:
    def handle(*_: object) -> None:
        pass

    def take() -> None:
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 1000.0)

    try:
        assert run(take).lines == []
        assert signal.getsignal(signal.SIGALRM) is handle
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_every_hook_has_a_decorator_that_gives_the_function_back() -> None:
    def function() -> None:
        pass

    for name in registry.NAMES:
        decorator = getattr(prefork, name)
        assert decorator(function) is function
        decorator(function)
        assert registry.functions_of(name) == [function], "once, however often a module is imported"


def test_those_of_the_settings_come_first_and_once() -> None:
    prefork.on_slow(print)
    prefork.on_slow(repr)
    registry.replace("on_slow", [len, repr, len])
    assert registry.functions_of("on_slow") == [len, repr, print]


def test_functions_are_found_by_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks_of_a_shop.py").write_text("def connect(): pass\nNAME = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_callable("hooks_of_a_shop:connect").__name__ == "connect"
    for reference, problem in {
        "hooks_of_a_shop:conect": "did you mean 'connect'",
        "hooks_of_a_shop:NAME": "is a int, not a function",
        "hooks_of_a_shop2:connect": "no module named",
    }.items():
        with pytest.raises(BootError, match=problem):
            load_callable(reference)
    del sys.modules["hooks_of_a_shop"]
