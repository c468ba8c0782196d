"""kill -9 of every kind of process, and what a dead one may cost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psutil
import pytest

from support.deadline import Deadline
from support.server import Server, ServerFactory

from .conftest import deploy

Deployed = Callable[..., Server]


def zygote_pid(server: Server, gen: int = 1) -> int:
    return int(server.wait_for_event("zygote_ready", gen=gen)["pid"])


def body(server: Server) -> str:
    return server.get("/").body.decode()


def test_a_killed_worker_is_replaced_at_once_in_its_slot(deployed: Deployed) -> None:
    server = deployed(workers=2)
    victim = next(iter(server.workers()))
    slot = server.wait_for_event("worker_ready", pid=victim)["worker"]
    mark = server.mark()
    os.kill(victim, signal.SIGKILL)
    died = server.wait_for_event("worker_exited", after=mark, pid=victim)
    assert died["how"] == "signal 9 (SIGKILL)"
    assert died["level"] == "error"
    assert died["cause"].startswith("killed from outside")
    assert int(died["peak_memory"].removesuffix("MiB")) > 5
    server.wait_for_event("worker_ready", after=mark, worker=slot, gen=1)
    assert len(server.workers()) == 2


def test_a_replacement_has_the_code_that_was_preloaded(deployed: Deployed) -> None:
    server = deployed(workers=1)
    deploy(server, "v2")
    mark = server.mark()
    os.kill(next(iter(server.workers())), signal.SIGKILL)
    server.wait_for_event("worker_ready", after=mark)
    assert body(server) == "v1"


def test_a_crash_loop_is_counted_and_slowed_down(deployed: Deployed) -> None:
    server = deployed(workers=1, settings={"app": {"preload": "never"}})
    deploy(server, "v2", "os._exit(9)")
    mark = server.mark()
    os.kill(next(iter(server.workers())), signal.SIGKILL)
    delays = []
    for failures in range(3, 6):
        died = server.wait_for_event("worker_exited", after=mark, failures=failures)
        assert died["how"] == "exit code 9"
        delays.append(float(died["retry_in_s"]))
    assert delays == [0.2, 0.4, 0.8]
    # The pool mends itself when the code does.
    deploy(server, "v3")
    server.wait_for_event("worker_ready", after=mark)
    assert body(server) == "v3"


def test_a_killed_zygote_costs_no_worker_and_is_replaced_by_a_new_generation(deployed: Deployed) -> None:
    server = deployed(workers=2)
    first = server.workers()
    mark = server.mark()
    os.kill(zygote_pid(server), signal.SIGKILL)
    died = server.wait_for_event("zygote_exited", after=mark, gen=1)
    assert died["how"] == "signal 9 (SIGKILL)"
    server.wait_for_event("reload_started", after=mark, reason="zygote_died")
    server.wait_for_event("reload_done", after=mark, gen=2)
    second = server.wait_for_workers(2, gen=2)
    assert not first.keys() & second.keys()
    # The old workers left by themselves: nobody had to kill them.
    assert all(each["how"] == "exit code 0" for each in server.log.events("worker_exited", mark))


def test_a_killed_zygote_with_broken_code_on_disk_leaves_the_workers_serving(deployed: Deployed) -> None:
    server = deployed(workers=1)
    workers = server.workers()
    deploy(server, "v2", "raise RuntimeError('half deployed')")
    mark = server.mark()
    os.kill(zygote_pid(server), signal.SIGKILL)
    server.wait_for_event("reload_failed", after=mark, gen=2)
    assert server.workers() == workers
    assert body(server) == "v1"
    deploy(server, "v3")
    server.wait_for_event("reload_done", after=mark)
    assert body(server) == "v3"


def test_the_processes_of_a_killed_master_leave_and_a_new_start_succeeds(
    server_factory: ServerFactory, deployed: Deployed
) -> None:
    server = deployed(workers=2, settings={"server": {"pid_file": "server.pid"}})
    address = server.address
    children = [psutil.Process(pid) for pid in (*server.workers(), zygote_pid(server))]
    deadline = Deadline(10)
    server.process.kill()
    server.process.wait()
    _, alive = psutil.wait_procs(children, timeout=deadline.remaining())
    assert not alive
    settings = {**server.settings, "server": {"listen": [address], "pid_file": "server.pid"}}
    again = server_factory(settings, directory=server.directory)
    again.wait_ready()
    assert body(again) == "v1"


def test_a_worker_that_exits_by_itself_is_said_so(deployed: Deployed) -> None:
    server = deployed(
        workers=1,
        body="""
        serve = app
        def app(environ, start_response):
            if environ["PATH_INFO"] == "/die":
                os._exit(23)
            return serve(environ, start_response)
        """,
    )
    mark = server.mark()
    with server.connect() as connection:
        connection.send(b"GET /die HTTP/1.1\r\nHost: x\r\n\r\n")
        died = server.wait_for_event("worker_exited", after=mark)
    assert died["how"] == "exit code 23"
    assert died["request"] == "GET /die HTTP/1.1"
    server.wait_for_event("worker_ready", after=mark)


def test_strangers_are_collected(deployed: Deployed) -> None:
    """A program that outlives the one that started it becomes a child of the master, and must not stay a zombie."""
    server = deployed(
        workers=1,
        settings={"log": {"level": "debug"}},
        body="""
        import subprocess
        serve = app
        def app(environ, start_response):
            # The shell ends without waiting for what it started.
            subprocess.run(["sh", "-c", "(exit 3) &"])
            return serve(environ, start_response)
        """,
    )
    assert body(server) == "v1"
    assert server.wait_for_event("stranger_reaped")["how"] == "exit code 3"
    assert len(server.workers()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user of its own, whose limit on processes counts")
def test_a_fork_the_system_refuses_is_told_as_such(server_factory: ServerFactory) -> None:
    settings = {
        "app": {"target": "faulty:app"},
        "server": {"user": "65534", "group": "65534"},
    }
    server = server_factory(settings).wait_ready()
    workers = server.workers()
    server.configure({"app": {"env": {"FAULT": "no_fork"}}})
    mark = server.mark()
    server.signal(signal.SIGHUP)
    failure = server.wait_for_event("reload_failed", after=mark)
    assert (failure["stage"], failure["error"]) == ("fork", "fork: Resource temporarily unavailable")
    assert server.workers() == workers


def test_a_zygote_that_cannot_even_receive_is_replaced(deployed: Deployed) -> None:
    """Without a free descriptor it loses the worker's channel, and cannot know what it was asked for."""
    server = deployed(workers=1)
    zygote = psutil.Process(zygote_pid(server))
    _, hard = zygote.rlimit(psutil.RLIMIT_NOFILE)
    zygote.rlimit(psutil.RLIMIT_NOFILE, (1, hard))
    mark = server.mark()
    os.kill(next(iter(server.workers())), signal.SIGKILL)
    server.wait_for_event("reload_started", after=mark, reason="zygote_died")
    server.wait_for_event("reload_done", after=mark)
    assert body(server) == "v1"
