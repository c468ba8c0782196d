"""`[app] preload`: what the zygote finds when it looks at itself, and what it does about it."""

from __future__ import annotations

import re

import pytest

from prefork.errors import BootError
from prefork.master.trial import try_application
from prefork.settings.load import load
from prefork.settings.model import Settings
from support.server import APPS, Server, ServerFactory


def start(server_factory: ServerFactory, fault: str, preload: str) -> Server:
    return server_factory({"app": {"target": "faulty:app", "preload": preload, "env": {"FAULT": fault}}})


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("thread", r"1 thread\(s\): metrics-exporter"),
        ("socket", r"3? ?socket\(s\): .*to 127\.0\.0\.1:\d+"),
    ],
)
def test_auto_imports_after_the_fork_what_a_fork_would_break(
    server_factory: ServerFactory, fault: str, found: str
) -> None:
    server = start(server_factory, fault, "auto").wait_ready()
    assert server.wait_for_event("zygote_ready")["preloaded"] == "false"
    assert re.search(found, server.wait_for_event("not_preloaded")["found"])
    assert server.get("/").body.decode().endswith(fault)


@pytest.mark.parametrize("fault", ["thread", "socket"])
def test_always_refuses_it(server_factory: ServerFactory, fault: str) -> None:
    server = start(server_factory, fault, "always")
    assert server.wait() == 3
    (failure,) = server.log.events("boot_failed")
    assert failure["stage"] == "preload"
    assert 'set preload = "never"' in failure["error"]


@pytest.mark.parametrize("preload", ["auto", "always"])
def test_a_quiet_application_is_shared(server_factory: ServerFactory, preload: str) -> None:
    server = start(server_factory, "", preload).wait_ready()
    assert server.wait_for_event("zygote_ready")["preloaded"] == "true"
    assert not server.log.events("not_preloaded")


def test_never_leaves_the_import_to_the_workers(server_factory: ServerFactory) -> None:
    server = start(server_factory, "", "never").wait_ready()
    assert server.wait_for_event("zygote_ready")["preloaded"] == "false"


# -- prefork check -------------------------------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path):
    def make(target: str, fault: str = "", **workers: float) -> Settings:
        file = tmp_path / "prefork.toml"
        lines = [f'[app]\ntarget = "{target}"\npath = ["{APPS}"]\nenv = {{ FAULT = "{fault}" }}', "[workers]"]
        lines += [f"{key} = {value}" for key, value in workers.items()]
        file.write_text("\n".join(lines))
        return load(file).settings

    return make


@pytest.mark.parametrize("fault", ["", "thread", "socket"])
def test_a_trial_of_a_good_application_is_silent(settings, fault: str) -> None:
    try_application(settings("faulty:app", fault))


@pytest.mark.parametrize(
    ("fault", "stage", "error", "traceback"),
    [
        ("raise", "import", "the database is gone", "faulty.py"),
        ("exit", "import", r"sys\.exit\(7\)", "faulty.py"),
        ("segfault", "boot", r"signal 11 \(SIGSEGV\)", "faulty.py"),
        ("os_exit", "boot", "exit code 5", ""),
        ("hang", "boot", "boot_timeout = 1s", "in hang"),
    ],
)
def test_a_trial_raises_what_is_wrong(settings, fault: str, stage: str, error: str, traceback: str) -> None:
    with pytest.raises(BootError, match=error) as caught:
        try_application(settings("faulty:app", fault, **({"boot_timeout": 1} if fault == "hang" else {})))
    assert caught.value.stage == stage
    assert traceback in caught.value.traceback
