"""Which zygote is asked to run which hook, and how often at most."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prefork.ipc.messages import MAX_TEXT, RunHook, decode, encode
from prefork.master.hookcalls import MOST, WINDOW_S, HookCalls
from prefork.master.notes import Note
from support.serving import FakeClock

SLOW = {
    "request": "GET / HTTP/1.1",
    "client": None,
    "worker": 2,
    "gen": 3,
    "pid": 9,
    "thread": 1,
    "elapsed_s": 1.5,
}


class Asked:
    def __init__(self) -> None:
        self.orders: list[tuple[int, RunHook]] = []
        self.warnings: list[str] = []
        self.clock = FakeClock()
        links: Any = SimpleNamespace(tell_zygote=lambda number, order: self.orders.append((number, order)))
        pool: Any = SimpleNamespace(active=7)
        self.calls = HookCalls(pool, links, lambda event, _fields: self.warnings.append(event), self.clock)

    def hear(self, event: str, fields: dict[str, Any], traceback: str = "") -> None:
        self.calls.hear(Note("warning", event, fields, traceback))


def test_a_slow_request_is_for_the_zygote_of_its_generation() -> None:
    asked = Asked()
    asked.hear("request_slow", SLOW, "  File a.py")
    asked.hear("request_timeout", SLOW)
    asked.hear("worker_ready", {"gen": 3})
    (number, slow), (_, timeout) = asked.orders
    assert (number, slow.hook, timeout.hook) == (3, "on_slow", "on_timeout")
    expected = {key: value for key, value in SLOW.items() if key != "gen"}
    assert slow.arguments == {**expected, "generation": 3, "stack": "  File a.py"}


def test_a_failed_reload_is_for_the_generation_that_serves() -> None:
    asked = Asked()
    asked.hear("reload_failed", {"gen": 8, "stage": "import", "error": "x", "serving_gen": 6}, "Traceback")
    asked.hear("upgrade_failed", {"stage": "trial", "error": "y"})
    (first, reload), (second, upgrade) = asked.orders
    assert (first, second) == (6, 7)
    assert reload.arguments == {
        "what": "reload",
        "generation": 8,
        "serving_generation": 6,
        "stage": "import",
        "error": "x",
        "traceback": "Traceback",
    }
    assert upgrade.arguments["what"] == "upgrade"


def test_nobody_is_asked_while_nothing_serves() -> None:
    asked = Asked()
    asked.hear("reload_failed", {"gen": 1, "stage": "import", "error": "x", "serving_gen": None})
    assert asked.orders == []


def test_a_storm_of_slow_requests_is_told_once() -> None:
    asked = Asked()
    for _ in range(10 * MOST):
        asked.hear("request_slow", SLOW)
    assert len(asked.orders) == MOST
    assert asked.warnings == ["hooks_skipped"]
    asked.clock.now += WINDOW_S
    asked.hear("request_slow", SLOW)
    assert len(asked.orders) == MOST + 1


def test_an_order_fits_a_packet() -> None:
    asked = Asked()
    asked.hear("request_slow", {**SLOW, "request": "x" * 255}, "y" * 10 * MAX_TEXT)
    (_, order) = asked.orders[0]
    assert len(encode(order)) < MAX_TEXT
    assert decode(encode(order)) == order
