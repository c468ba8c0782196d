"""Rollback: the release before comes back from memory, whatever is on disk now."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.deadline import SLOWNESS, Deadline
from support.measured import Measured
from support.processes import is_alive, wait_gone
from support.server import Server

from .conftest import deploy

Deployed = Callable[..., Server]


def body(server: Server) -> str:
    return server.get("/").body.decode()


def roll_back(server: Server) -> float:
    """Seconds, as the command's user has to wait."""
    started = time.monotonic()
    done = server.command("rollback", "--wait")
    assert done.returncode == 0, done.stderr
    return time.monotonic() - started


def zygotes(server: Server) -> dict[int, int]:
    """Generation -> process number."""
    return {int(fields["gen"]): int(fields["pid"]) for fields in server.log.events("zygote_ready")}


def test_it_reads_no_code_from_disk(deployed: Deployed, measured: Measured) -> None:
    server = deployed(workers=4, body="time.sleep(1)")
    deploy(server, "v2")
    server.reload()
    assert body(server) == "v2"
    (server.directory / "release.py").unlink()
    seconds = roll_back(server)
    measured(f"a rollback of 4 workers whose import takes 1 s: {seconds:.2f} s with the command's own start")
    assert body(server) == "v1"
    assert seconds < 1.0 * max(1.0, SLOWNESS) * 5
    server.wait_for_workers(4, gen=1)
    roll_back(server)
    assert body(server) == "v2"
    assert len(zygotes(server)) == 2, "nothing was imported again"


def test_after_a_rollback_a_reload_takes_what_is_on_disk(deployed: Deployed) -> None:
    server = deployed(workers=2)
    deploy(server, "v2")
    server.reload()
    roll_back(server)
    deploy(server, "v3")
    assert server.reload() == 3
    assert body(server) == "v3"
    roll_back(server)
    assert body(server) == "v1"


def test_a_worker_that_dies_after_a_rollback_is_replaced_by_the_same_release(deployed: Deployed) -> None:
    server = deployed(workers=1)
    deploy(server, "v2")
    server.reload()
    roll_back(server)
    (pid,) = server.wait_for_workers(1, gen=1)
    mark = server.mark()
    os.kill(pid, signal.SIGKILL)
    server.wait_for_event("worker_ready", after=mark, gen=1)
    assert body(server) == "v1"


def test_the_window_ends_and_the_zygote_with_it(deployed: Deployed) -> None:
    server = deployed(workers=1, settings={"workers": {"rollback_window": 0.5}})
    server.reload()
    server.wait_for_event("rollback_ended", gen=1)
    assert wait_gone(zygotes(server)[1], Deadline())
    done = server.command("rollback", "--wait")
    assert done.returncode == 1
    assert "no previous generation is kept" in done.stderr


def test_without_a_window_nothing_stays(deployed: Deployed) -> None:
    server = deployed(workers=1, settings={"workers": {"rollback_window": 0}})
    server.reload()
    assert wait_gone(zygotes(server)[1], Deadline())
    assert server.command("rollback").returncode == 1


def test_only_the_last_one_is_kept(deployed: Deployed) -> None:
    server = deployed(workers=1)
    server.reload()
    server.reload()
    assert wait_gone(zygotes(server)[1], Deadline())
    assert is_alive(zygotes(server)[2])


def test_a_parked_zygote_that_is_killed_ends_nothing_but_the_rollback(deployed: Deployed) -> None:
    server = deployed(workers=1)
    server.reload()
    mark = server.mark()
    os.kill(zygotes(server)[1], signal.SIGKILL)
    server.wait_for_event("rollback_ended", after=mark, gen=1)
    assert server.command("rollback").returncode == 1
    assert body(server) == "v1"


def test_one_that_does_not_boot_any_more_fails_with_its_traceback(deployed: Deployed, tmp_path: Path) -> None:
    """Not preloaded, its workers read what is on disk."""
    server = deployed(workers=2, settings={"app": {"preload": "never"}})
    deploy(server, "v2")
    server.reload()
    deploy(server, "v3", "raise RuntimeError('gone for good')")
    done = server.command("rollback", "--wait")
    assert done.returncode == 1
    assert "RuntimeError: gone for good" in done.stderr
    assert "generation 2 goes on serving" in done.stderr
    assert body(server) == "v2"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_the_parked_one(deployed: Deployed, number: signal.Signals) -> None:
    server = deployed(workers=1)
    server.reload()
    parked = zygotes(server)[1]
    assert is_alive(parked)
    assert server.stop(number) == 0
    assert not is_alive(parked)
