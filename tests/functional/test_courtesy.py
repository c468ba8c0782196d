"""What imports beside those who serve steps back, and never those who serve."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from prefork.master.courtesy import _has_way_back
from support.deadline import eventually
from support.server import Server, ServerFactory

APP = """
import os

at_import = os.sched_getscheduler(0)

def app(environ, start_response):
    body = b"%d %d" % (at_import, os.sched_getscheduler(0))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

BESIDE_OTHERS = os.SCHED_IDLE if _has_way_back(True) else os.SCHED_OTHER


@pytest.fixture
def server(serve: ServerFactory, tmp_path: Path) -> Server:
    (tmp_path / "policies.py").write_text(APP)
    return serve("policies:app", workers=2, settings={"app": {"path": [str(tmp_path)]}})


def policies(server: Server) -> list[int]:
    """That of the application's import, then that of the worker that says so."""
    return [int(word) for word in server.get("/").body.split()]


def workers_policies(server: Server) -> set[int]:
    return {os.sched_getscheduler(pid) for pid in server.workers()}


def test_the_first_import_is_in_nobodys_way(server: Server) -> None:
    assert policies(server) == [os.SCHED_OTHER, os.SCHED_OTHER]


def test_the_import_of_a_reload_steps_back_and_its_workers_do_not(server: Server) -> None:
    gen = server.reload()
    server.wait_for_workers(2, gen=gen)
    at_import, serving = policies(server)
    # It may have come back, on a machine that leaves it nothing.
    assert at_import in {BESIDE_OTHERS, os.SCHED_OTHER}
    assert serving == os.SCHED_OTHER
    assert workers_policies(server) == {os.SCHED_OTHER}


def test_nor_do_those_of_an_upgrade_or_of_a_worker_that_is_replaced(server: Server) -> None:
    mark = server.mark()
    server.signal(signal.SIGUSR2)
    server.wait_for_event("reload_done", after=mark)
    before = server.wait_for_workers(2, gen=2)
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: min(before) not in server.workers(), "the end of a worker")
    server.wait_for_workers(2, gen=2)
    assert os.sched_getscheduler(server.pid) == os.SCHED_OTHER
    assert workers_policies(server) == {os.SCHED_OTHER}


def test_the_zygote_of_a_reload_has_come_back(server: Server) -> None:
    server.reload()
    zygote = int(server.log.events("zygote_ready")[-1]["pid"])
    assert os.sched_getscheduler(zygote) == os.SCHED_OTHER
