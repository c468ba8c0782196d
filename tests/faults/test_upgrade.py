"""USR2: the master becomes another program, and nobody notices."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from support.processes import descriptors, read_process
from support.server import Server

from .conftest import deploy

Deployed = Callable[..., Server]


def body(server: Server) -> str:
    return server.get("/").body.decode()


def upgrade(server: Server) -> int:
    """USR2, and wait until the generation it brings serves."""
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_for_event("upgraded", after=mark, pid=server.pid)
    return int(server.wait_for_event("reload_done", after=mark)["gen"])


def test_an_upgrade_keeps_the_process_and_brings_new_code(deployed: Deployed, tmp_path: Path) -> None:
    settings = {
        "server": {"listen": ["127.0.0.1:0", f"unix:{tmp_path}/s.sock"], "pid_file": "server.pid"},
        "log": {"access": "access.log"},
    }
    server = deployed(workers=2, settings=settings)
    first = server.workers()
    before = descriptors(server.pid)
    deploy(server, "v2")
    assert upgrade(server) == 2
    second = server.wait_for_workers(2, gen=2)
    assert body(server) == "v2"
    assert not first.keys() & second.keys()
    # The old ones finished by themselves: nothing had told them that their master died.
    assert all(each["how"] == "exit code 0" for each in server.log.events("worker_exited"))
    assert all(read_process(pid).parent == server.pid for pid in second)  # type: ignore[union-attr]
    assert (tmp_path / "server.pid").read_text() == f"{server.pid}\n"
    # A second one, from a program that was executed itself; afterwards as many descriptors as before.
    assert upgrade(server) == 3
    server.wait_for_workers(2, gen=3)
    assert len(descriptors(server.pid)) <= len(before) + 8, descriptors(server.pid)
    with server.connect(f"unix:{tmp_path}/s.sock") as connection:
        assert connection.get("/").status == 200
    assert server.stop() == 0
    assert not (tmp_path / "s.sock").exists()
    assert not (tmp_path / "server.pid").exists()


def test_descriptors_do_not_grow_from_upgrade_to_upgrade(deployed: Deployed) -> None:
    server = deployed(workers=1, settings={"workers": {"rollback_window": 0}})
    counts = []
    for _ in range(3):
        mark = server.mark()
        gen = upgrade(server)
        server.wait_for_event("worker_exited", after=mark, gen=gen - 1)
        server.reload()  # what the zygote of the upgrade's predecessor held is gone when this is done
        server.wait_for_workers(1)
        counts.append(len(descriptors(server.pid)))
    assert max(counts) - min(counts) <= 3, counts


def test_a_release_that_does_not_import_is_not_executed(deployed: Deployed) -> None:
    server = deployed(workers=1)
    before = server.workers()
    deploy(server, "v2", "raise RuntimeError('half copied')")
    server.signal(signal.SIGUSR2)
    failure = server.wait_for_event("upgrade_failed")
    assert failure["stage"] == "trial"
    assert "RuntimeError: half copied" in failure["error"]
    assert server.workers() == before
    assert body(server) == "v1"
    deploy(server, "v3")
    assert upgrade(server) == 2
    assert body(server) == "v3"


def test_settings_that_are_wrong_are_no_reason_to_go(deployed: Deployed) -> None:
    server = deployed(workers=1)
    text = server.config.read_text()
    server.config.write_text(text + "\n[nonsense]\nkey = 1\n")
    server.signal(signal.SIGUSR2)
    assert "nonsense" in server.wait_for_event("upgrade_failed")["error"]
    assert body(server) == "v1"
    server.config.write_text(text)
    assert upgrade(server) == 2


def test_signals_during_an_upgrade_are_not_lost(deployed: Deployed) -> None:
    """They arrive before, within and after the moment in which the process has no handlers."""
    server = deployed(workers=1)
    stop = threading.Event()

    def pester() -> None:
        while not stop.wait(0.002):
            server.signal(signal.SIGUSR1)
            server.signal(signal.SIGWINCH)
            server.signal(signal.SIGTTIN)

    thread = threading.Thread(target=pester)
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    thread.start()
    try:
        server.wait_for_event("upgraded", after=mark)
    finally:
        stop.set()
        thread.join()
    server.wait_for_event("reload_done", after=mark)
    assert body(server) == "v1"
    assert server.stop() == 0


def test_a_worker_that_dies_while_the_program_changes_is_collected(deployed: Deployed) -> None:
    server = deployed(workers=2)
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_for_event("upgrade_trial_succeeded", after=mark)
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)
    server.wait_for_event("reload_done", after=mark)
    server.wait_for_workers(2, gen=2)
    assert server.stop() == 0
