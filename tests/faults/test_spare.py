"""The zygote that is kept for the next reload: taken, outdated, dead, or gone with the server."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from support import processes
from support.deadline import Deadline, eventually
from support.server import Server, ServerFactory

APP = """
import os

# A fork has its interpreter's seed, a new interpreter one of its own.
interpreter = str(hash("prefork")).encode()

def app(environ, start_response):
    body = interpreter + b" " + os.environ.get("COLOUR", "").encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where the server's interpreters find packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def server(serve: ServerFactory, tmp_path: Path, site: Path) -> Server:
    (tmp_path / "interpreter.py").write_text(APP)
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    server = serve(
        "interpreter:app",
        settings={"server": {"name": "shop"}, "app": {"path": [str(tmp_path)]}},
        environment={"PYTHONPATH": path, "PYTHONHASHSEED": "random"},
    )
    # None as long as the folder is younger than the interpreter: it might have been read before it was changed.
    eventually(lambda: processes_of(server, "spare") or not reload(server), "a spare one", deadline_s=60)
    return server


def processes_of(server: Server, what: str) -> list[int]:
    children = psutil.Process(server.pid).children()
    return [each.pid for each in children if processes.command_line(each.pid).startswith(f"prefork: {what}")]


def spare_of(server: Server) -> int:
    eventually(lambda: len(processes_of(server, "spare")) == 1, "one spare one")
    return processes_of(server, "spare")[0]


def reload(server: Server) -> int:
    """Returns the pid of the new zygote."""
    mark = server.mark()
    done = server.command("reload", "--wait")
    assert done.returncode == 0, done.stderr
    return int(server.wait_for_event("zygote_ready", after=mark)["pid"])


def interpreter(server: Server) -> bytes:
    return server.get("/").body.split()[0]


def test_a_server_that_is_not_reloaded_has_none(serve: ServerFactory) -> None:
    server = serve("whoami:app")
    assert processes_of(server, "zygote")
    assert not processes_of(server, "spare")


def test_the_next_zygote_is_the_spare_one_and_has_another(server: Server) -> None:
    seen = [interpreter(server)]
    for _ in range(3):
        spare = spare_of(server)
        assert processes.command_line(spare) == "prefork: spare [shop]"
        assert reload(server) == spare
        assert processes.command_line(spare).startswith("prefork: zygote gen ")
        seen.append(interpreter(server))
        assert spare_of(server) != spare
    assert len(set(seen)) == 1


def test_it_holds_nothing_but_its_channel(server: Server) -> None:
    held = processes.descriptors(spare_of(server))
    assert sorted(held)[:3] == [0, 1, 2]
    assert len(held) == 4, held


def test_packages_that_have_changed_are_read(server: Server, site: Path) -> None:
    """By an interpreter of its own, in the place of the spare one."""
    before = interpreter(server)
    spare = spare_of(server)
    (site / "sitecustomize.py").write_text("import os; os.environ['COLOUR'] = 'blue'")
    assert reload(server) == spare
    assert server.get("/").body.split()[1:] == [b"blue"]
    assert interpreter(server) != before


def test_another_environment_is_another_interpreter(server: Server) -> None:
    before = interpreter(server)
    spare = spare_of(server)
    server.configure({"app": {"env": {"COLOUR": "red"}}})
    assert reload(server) != spare
    assert server.get("/").body.split()[1:] == [b"red"]
    assert interpreter(server) != before
    assert not processes.is_alive(spare)


def test_an_interpreter_of_the_applications_own_has_none(server: Server) -> None:
    """And the one that is there is of no use."""
    spare = spare_of(server)
    server.configure({"app": {"python": sys.executable}})
    assert reload(server) != spare
    assert not processes_of(server, "spare")
    assert not processes.is_alive(spare)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_its_death_costs_no_more_than_time(server: Server, number: signal.Signals) -> None:
    spare = spare_of(server)
    os.kill(spare, number)
    assert processes.wait_gone(spare, Deadline())
    assert reload(server) != spare
    assert spare_of(server) != spare
    assert server.get("/").status == 200


def test_one_that_hangs_is_a_reload_that_fails(server: Server) -> None:
    """As any zygote that hangs; and the one after begins anew."""
    server.configure({"workers": {"boot_timeout": 1}})
    reload(server)
    os.kill(spare_of(server), signal.SIGSTOP)
    done = server.command("reload", "--wait")
    assert done.returncode == 1
    assert server.get("/").status == 200
    reload(server)


def test_a_zygote_that_dies_is_replaced_by_it(server: Server) -> None:
    spare = spare_of(server)
    mark = server.mark()
    (zygote,) = [pid for pid in processes_of(server, "zygote") if pid != spare][-1:]
    os.kill(zygote, signal.SIGKILL)
    ready = server.wait_for_event("zygote_ready", after=mark)
    assert int(ready["pid"]) == spare
    server.wait_for_event("reload_done", after=mark)
    assert os.sched_getscheduler(spare) == os.SCHED_OTHER
    workers = server.wait_for_workers(1, gen=int(ready["gen"]))
    assert {os.sched_getscheduler(pid) for pid in workers} == {os.SCHED_OTHER}


def test_it_goes_with_the_server(server: Server) -> None:
    spare = spare_of(server)
    assert server.stop() == 0
    assert not processes.is_alive(spare)


def test_it_goes_with_a_master_that_is_killed(server: Server) -> None:
    spare = spare_of(server)
    server.process.kill()
    server.process.wait()
    assert processes.wait_gone(spare, Deadline())


def test_it_goes_with_the_program_that_an_upgrade_replaces(server: Server) -> None:
    spare = spare_of(server)
    done = server.command("upgrade")
    assert done.returncode == 0, done.stderr
    assert processes.wait_gone(spare, Deadline())
    reload(server)
    assert reload(server) != spare
    assert server.get("/").status == 200
