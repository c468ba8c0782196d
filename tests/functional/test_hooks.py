"""Hooks of a running server: each is called where it belongs, and none of them hurts it."""

from __future__ import annotations

import signal
from pathlib import Path

from support.deadline import eventually
from support.noted import calls
from support.server import ServerFactory

HANG_S = 0.3


def test_every_hook_is_called_and_none_hurts(serve: ServerFactory, tmp_path: Path) -> None:
    noted = tmp_path / "hooks"
    hooks = {
        "after_fork": "hooked:hangs",
        "on_slow": ["hooked:slow"],
        "on_timeout": "hooked:timeout",
        "on_reload_failed": "hooked:reload_failed",
        "timeout": HANG_S,
    }
    settings = {"requests": {"slow": 0.2, "timeout": 0.6}, "hooks": hooks}
    server = serve("hooked:app", settings=settings, environment={"HOOK_LOG": str(noted)})
    (pid,) = server.workers()

    # In the worker: one of the settings that hangs, then the one that is registered by a decorator.
    failed = server.wait_for_event("hook_failed", hook="after_fork")
    assert failed["error"] == f"interrupted after hooks.timeout = {HANG_S}s"
    assert [entry["process"] for entry in calls(noted, "hangs")] == [pid]
    (forked,) = calls(noted, "after_fork")
    assert (forked["process"], forked["worker"], forked["generation"]) == (pid, 1, 1)
    (ready,) = calls(noted, "on_zygote_ready")
    assert ready["pid"] == ready["process"] == int(server.wait_for_event("zygote_ready")["pid"])

    # In processes of their own, while the request runs.
    assert server.get("/slow?30").status == 503
    eventually(lambda: calls(noted, "on_timeout"), "the hook on_timeout")
    (slow,), (timeout,) = calls(noted, "on_slow"), calls(noted, "on_timeout")
    assert slow["request"] == timeout["request"] == "GET /slow?30 HTTP/1.1"
    assert "hooked.py" in slow["stack"]
    assert (slow["pid"], slow["worker"], slow["generation"]) == (pid, 1, 1)
    assert len({pid, ready["process"], slow["process"], timeout["process"], server.pid}) == 5
    assert server.wait_for_event("hook_failed", hook="on_slow")["error"] == "ValueError: a broken hook"
    gone = server.wait_for_event("hook_failed", hook="on_timeout")
    assert gone["error"] == "its process ended in the middle of it: exit code 5"

    # A hook that is not there: the reload is refused, and the code that serves is told.
    server.configure({"hooks": {"on_slow": "hooked:slwo"}})
    server.signal(signal.SIGHUP)
    assert "did you mean 'slow'" in server.wait_for_event("reload_failed")["error"]
    eventually(lambda: calls(noted, "on_reload_failed"), "the hook on_reload_failed")
    (told,) = calls(noted, "on_reload_failed")
    assert (told["what"], told["stage"]) == ("reload", "lookup")
    check = server.command("check")
    assert check.returncode == 3
    assert "hooked:slwo" in check.stderr

    assert server.get("/").status == 200
    assert server.stop() == 0
    (left,) = calls(noted, "before_stop")
    assert (left["process"], left["reason"], left["requests"]) == (pid, "stop", 2)


def test_without_preloading_each_worker_finds_its_hooks(serve: ServerFactory, tmp_path: Path) -> None:
    noted = tmp_path / "hooks"
    hooks = {"on_slow": "hooked:slow", "on_zygote_ready": "hooked:zygote_ready"}
    settings = {"app": {"preload": "never"}, "requests": {"slow": 0.2}, "hooks": hooks}
    server = serve("hooked:app", workers=2, settings=settings, environment={"HOOK_LOG": str(noted)})
    assert server.wait_for_event("hooks_skipped")["hook"] == "on_zygote_ready"
    assert {entry["process"] for entry in calls(noted, "after_fork")} == set(server.workers())
    assert server.get("/slow?0.5").status == 200
    eventually(lambda: calls(noted, "on_slow"), "the hook on_slow")
    assert server.stop() == 0
    assert len(calls(noted, "before_stop")) == 2
    assert not calls(noted, "on_zygote_ready")
