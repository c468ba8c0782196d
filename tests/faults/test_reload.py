"""HUP: a good release takes over, whatever is wrong with a bad one leaves the old one serving."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.deadline import eventually
from support.gate import Gate
from support.server import Server

from .conftest import deploy

Deployed = Callable[..., Server]


def hup(server: Server) -> int:
    mark = server.mark()
    server.signal(signal.SIGHUP)
    return mark


def body(server: Server) -> str:
    return server.get("/").body.decode()


@pytest.mark.parametrize("preload", ["auto", "never"])
def test_a_good_release_takes_over(deployed: Deployed, preload: str) -> None:
    server = deployed(workers=3, settings={"app": {"preload": preload}})
    first = server.workers()
    deploy(server, "v2")
    assert server.reload() == 2
    second = server.wait_for_workers(3, gen=2)
    assert not first.keys() & second.keys()
    assert body(server) == "v2"


BROKEN = {
    "import": "raise ImportError('half copied')",
    "syntax": "def broken(:",
    "exit": "sys.exit()",
    "crash": "os._exit(4)",
    "hang": "time.sleep(3600)",
    "not callable": "app = 5",
}


@pytest.mark.parametrize("preload", ["auto", "never"])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_release_leaves_the_old_one_serving(deployed: Deployed, kind: str, preload: str) -> None:
    settings = {"app": {"preload": preload}, "workers": {"boot_timeout": 2 if kind == "hang" else 60}}
    server = deployed(workers=2, settings=settings)
    before = server.workers()
    deploy(server, "v2", BROKEN[kind])
    mark = hup(server)
    failure = server.wait_for_event("reload_failed", after=mark, gen=2)
    assert failure["error"]
    assert server.workers() == before
    assert body(server) == "v1"
    # And the next good one is taken.
    deploy(server, "v3")
    assert server.reload() == 3
    assert body(server) == "v3"


def test_wrong_settings_leave_everything_as_it_was(deployed: Deployed) -> None:
    server = deployed(workers=1)
    before = server.workers()
    server.configure({"workers": {"threads": 0}})
    mark = hup(server)
    assert server.wait_for_event("reload_failed", after=mark)["stage"] == "settings"
    problem = server.wait_for_event("settings_invalid", after=mark)["problem"]
    assert "threads" in problem
    server.config.write_text("this is no TOML")
    mark = hup(server)
    server.wait_for_event("reload_failed", after=mark)
    assert server.workers() == before
    assert body(server) == "v1"


def test_what_cannot_change_is_refused_as_a_whole(deployed: Deployed) -> None:
    server = deployed(workers=1)
    server.configure({"server": {"name": "other"}, "workers": {"count": 2}})
    mark = hup(server)
    assert "server.name" in server.wait_for_event("settings_refused", after=mark)["problem"]
    server.wait_for_event("reload_failed", after=mark)
    assert len(server.workers()) == 1


def test_an_added_address_answers_and_a_removed_one_is_gone(deployed: Deployed, tmp_path: Path) -> None:
    server = deployed(workers=1)
    socket_path = tmp_path / "s.sock"
    server.configure({"server": {"listen": ["127.0.0.1:0", f"unix:{socket_path}"]}})
    server.reload()
    with server.connect(f"unix:{socket_path}") as connection:
        assert connection.request("GET", "/").status == 200
    server.configure({"server": {"listen": ["127.0.0.1:0"]}})
    server.reload()
    assert not socket_path.exists()
    assert body(server) == "v1"


def test_an_address_that_cannot_be_bound_stops_the_reload(deployed: Deployed, tmp_path: Path) -> None:
    server = deployed(workers=1)
    missing = tmp_path / "missing" / "s.sock"
    good = tmp_path / "good.sock"
    server.configure({"server": {"listen": ["127.0.0.1:0", f"unix:{good}", f"unix:{missing}"]}})
    mark = hup(server)
    assert server.wait_for_event("reload_failed", after=mark)["stage"] == "listen"
    assert not good.exists()
    assert body(server) == "v1"


def test_listeners_of_a_failed_candidate_are_closed(deployed: Deployed, tmp_path: Path) -> None:
    server = deployed(workers=1)
    added = tmp_path / "added.sock"
    server.configure({"server": {"listen": ["127.0.0.1:0", f"unix:{added}"]}})
    deploy(server, "v2", "raise RuntimeError")
    mark = hup(server)
    server.wait_for_event("reload_failed", after=mark)
    eventually(lambda: not added.exists(), "the end of what only the candidate listened on")


def test_a_changed_number_of_workers_is_applied(deployed: Deployed) -> None:
    server = deployed(workers=1)
    server.configure({"workers": {"count": 3}})
    server.reload()
    server.wait_for_workers(3, gen=2)
    server.configure({"workers": {"count": 2}})
    server.reload()
    server.wait_for_workers(2, gen=3)


def test_a_second_hup_during_a_reload_is_remembered(deployed: Deployed, gate: Gate) -> None:
    server = deployed(workers=1)
    deploy(server, "v2", f"os.read(os.open({str(gate.path)!r}, os.O_RDWR), 1)")
    mark = hup(server)
    server.wait_for_event("reload_started", after=mark, gen=2)
    server.signal(signal.SIGHUP)
    server.wait_for_event("reload_queued", after=mark)
    gate.open(2)
    server.wait_for_event("reload_done", after=mark, gen=2)
    server.wait_for_event("reload_done", after=mark, gen=3)


def test_the_zygote_of_the_old_release_goes_when_its_workers_have(deployed: Deployed) -> None:
    server = deployed(workers=1, settings={"log": {"level": "debug"}, "workers": {"rollback_window": 0}})
    server.reload()
    server.wait_for_event("zygote_exited", gen=1, how="exit code 0")
