"""What children of the master inherit, look like, and leave behind. The pitfalls of forking servers, one by one:

1 threads: test_preload            10 orphans, one owner of reaping: test_deaths (strangers), test_processes
2 PDEATHSIG and the double fork:   11 log files written by many: test_signals (USR1)
  workers live at all; whoami      12 exit handlers: below
3 getppid() == 1: zygote.hygiene   13 collector: below
  (compared with the master's pid) 14 frames: below
4 wake-up descriptor: signals      15 a killed zygote: test_deaths
  for children, test_signals       16 stacks of what hangs: test_boot, by signal, also inside C code
5 mask, ignored signals:           17 root at import: below
  test_signals                     18 subinterpreters: a zygote is a fresh interpreter of its own, and
6 ends of channels: below             nothing here makes another
7 random numbers: below
8 connections: test_preload
9 O_NONBLOCK: net.listeners (set once by the master; nobody calls setblocking on a listener)
"""

from __future__ import annotations

import os
import pwd
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from support import processes
from support.processes import descriptors
from support.server import Server, ServerFactory

Deployed = Callable[..., Server]


def zygote_pid(server: Server, gen: int = 1) -> int:
    return int(server.wait_for_event("zygote_ready", gen=gen)["pid"])


def is_close_on_exec(pid: int, fd: int) -> bool:
    text = Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
    flags = next(int(line.split()[1], 8) for line in text.splitlines() if line.startswith("flags:"))
    return bool(flags & os.O_CLOEXEC)


def wait_for_turn(server: Server) -> None:
    """Wait until the master has acted upon all that it has logged: it hears a signal only in its next turn."""
    mark = server.mark()
    server.signal(signal.SIGUSR1)
    server.wait_for_event("logs_reopened", after=mark)


def test_titles_tell_who_is_who(deployed: Deployed) -> None:
    server = deployed(workers=2, settings={"server": {"name": "shop"}})
    assert processes.command_line(server.pid) == "prefork: master [shop]"
    assert processes.command_line(zygote_pid(server)) == "prefork: zygote gen 1 [shop]"
    titles = {processes.command_line(pid) for pid in server.workers()}
    assert titles == {"prefork: worker 1 gen 1 [shop]", "prefork: worker 2 gen 1 [shop]"}


def test_workers_are_children_of_the_master(deployed: Deployed) -> None:
    server = deployed(workers=3)
    children = {child.pid for child in psutil.Process(server.pid).children()}
    assert children == {*server.workers(), zygote_pid(server)}


@pytest.mark.parametrize("preload", ["auto", "never"])
def test_a_worker_holds_only_what_it_needs(deployed: Deployed, preload: str, tmp_path: Path) -> None:
    """Its siblings' channels, the zygote's channel, the pid file's lock: none of them."""
    settings = {
        "app": {"preload": preload},
        "server": {"pid_file": "server.pid"},
        "log": {"access": "access.log"},
    }
    server = deployed(workers=3, settings=settings)
    for pid in server.workers():
        held = descriptors(pid)
        sockets = [name for name in held.values() if name.startswith("socket:")]
        files = {Path(name).name for name in held.values() if name.startswith(str(tmp_path))}
        # The listener, the channel and (at most) the loop's own pair to be woken through.
        assert 2 <= len(sockets) <= 4, held
        assert len(sockets) == len(set(sockets)), held
        assert files == {"access.log"}, held
        assert not any("prefork-boot" in name for name in held.values()), held
    ends = [set(descriptors(pid).values()) for pid in server.workers()]
    shared = {name for name in set.intersection(*ends) if name.startswith("socket:")}
    assert len(shared) == 1, "besides the listener, no socket is in two workers"


@pytest.mark.parametrize("preload", ["auto", "never"])
def test_programs_started_by_the_application_inherit_nothing(deployed: Deployed, preload: str) -> None:
    server = deployed(workers=1, settings={"app": {"preload": preload}})
    for pid in (server.pid, zygote_pid(server), *server.workers()):
        leaking = [fd for fd in descriptors(pid) if fd > 2 and not is_close_on_exec(pid, fd)]
        assert leaking == []


def test_descriptors_of_whoever_started_the_server_stop_at_the_master(
    deployed: Deployed, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.touch()
    launcher = tmp_path / "launch"
    launcher.write_text(f'#!/bin/sh\nexec 7<{secret}\nexec "$@"\n')
    launcher.chmod(0o755)
    server = deployed(workers=1, executable=(str(launcher), sys.executable, "-m", "prefork"))
    assert str(secret) in descriptors(server.pid).values()
    for pid in (zygote_pid(server), *server.workers()):
        assert str(secret) not in descriptors(pid).values()


def test_nothing_piles_up_in_the_master(deployed: Deployed) -> None:
    server = deployed(workers=2, settings={"log": {"level": "debug"}})
    server.reload()
    server.wait_for_workers(2, gen=2)
    wait_for_turn(server)
    before = len(descriptors(server.pid))
    for gen in (3, 4):
        mark = server.mark()
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        server.wait_for_workers(2)
        server.reload()
        # The generation before is parked, the one before that ends.
        server.wait_for_event("zygote_exited", after=mark, gen=gen - 2)
        server.wait_for_workers(2, gen=gen)
    wait_for_turn(server)
    assert len(descriptors(server.pid)) == before


def test_random_numbers_differ_between_workers(deployed: Deployed) -> None:
    server = deployed(
        workers=1,
        body="""
        import random
        random.random()
        def app(environ, start_response):
            start_response("200 OK", [])
            return [str(random.random()).encode()]
        """,
    )
    first = server.get("/").body
    mark = server.mark()
    os.kill(next(iter(server.workers())), signal.SIGKILL)
    server.wait_for_event("worker_ready", after=mark)
    assert server.get("/").body != first


def test_exit_handlers_run_once_where_they_were_registered(deployed: Deployed) -> None:
    """Run by every worker, the first to leave would remove a directory that all others use."""
    server = deployed(
        workers=2,
        body="""
        import atexit, tempfile, weakref
        shared = tempfile.TemporaryDirectory(prefix="release-")
        def tell(what):
            sys.stderr.write(f"{what} by {os.getpid()}\\n")
        atexit.register(tell, "at exit of the import")
        def app(environ, start_response):
            atexit.register(tell, "at exit of the worker")
            global keep
            keep = type("Keep", (), {})()
            weakref.finalize(keep, tell, "finalized in the worker")
            start_response("200 OK", [])
            return [f"{os.getpid()} {os.path.isdir(shared.name)} {shared.name}".encode()]
        """,
    )
    worker, exists, directory = server.get("/").body.decode().split()
    assert exists == "True"
    mark = server.mark()
    server.signal(signal.SIGTTOU)
    server.wait_for_event("worker_exited", after=mark)
    assert Path(directory).is_dir()
    assert server.stop() == 0
    assert not Path(directory).exists()
    lines = [line for line in server.log.lines if " by " in line and "time=" not in line]
    assert sorted(lines) == sorted(
        [
            f"at exit of the import by {zygote_pid(server)}",
            f"at exit of the worker by {worker}",
            f"finalized in the worker by {worker}",
        ]
    )


def test_what_was_printed_before_the_fork_is_printed_once(deployed: Deployed) -> None:
    server = deployed(workers=3, body="print('imported', end=' ')")
    assert server.stop() == 0
    assert server.out.text.count("imported") == 1


def test_the_collector_runs_in_workers_but_not_over_shared_objects(deployed: Deployed) -> None:
    server = deployed(
        workers=1,
        body="""
        import gc
        def app(environ, start_response):
            start_response("200 OK", [])
            return [f"{gc.isenabled()} {gc.get_freeze_count() > 1000}".encode()]
        """,
    )
    assert server.get("/").body == b"True True"


def test_new_objects_of_a_worker_come_into_no_page_that_it_shares(deployed: Deployed) -> None:
    server = deployed(
        workers=2,
        body="""
        old = [bytes(127) for _ in range(20_000)]
        gaps = {id(block) for block in old[::2]}
        del old[::2]
        def app(environ, start_response):
            start_response("200 OK", [])
            new = [bytes(127) for _ in range(20_000)]
            return [str(len(gaps & {id(block) for block in new})).encode()]
        """,
    )
    assert server.get("/").body == b"0"


def test_no_frame_of_the_zygote_is_below_a_worker(deployed: Deployed) -> None:
    server = deployed(
        workers=1,
        body="""
        import traceback
        def app(environ, start_response):
            start_response("200 OK", [])
            return ["\\n".join(f.name for f in traceback.extract_stack()).encode()]
        """,
    )
    names = server.get("/").body.decode().split()
    assert "_fork_worker" not in names
    assert "serve" not in names


def test_the_current_directory_cannot_replace_the_standard_library(
    deployed: Deployed, tmp_path: Path
) -> None:
    for name in ("logging", "socket", "json", "prefork"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n")
    script = f"import sys; sys.path.remove({str(tmp_path)!r}) if {str(tmp_path)!r} in sys.path else None"
    launcher = tmp_path / "launch.py"
    launcher.write_text(f"{script}\nfrom prefork.cli import main\nmain()\n")
    server = deployed(workers=1, executable=(sys.executable, "-P", str(launcher)))
    assert server.get("/").status == 200


def test_systemd_speaks_to_the_master_alone(deployed: Deployed) -> None:
    server = deployed(
        workers=1,
        environment={"WATCHDOG_USEC": "5", "LISTEN_FDNAMES": "x", "KEPT": "yes"},
        settings={"app": {"env": {"ADDED": "too"}}},
        body="""
        def app(environ, start_response):
            start_response("200 OK", [])
            names = ["WATCHDOG_USEC", "LISTEN_FDNAMES", "KEPT", "ADDED"]
            return [" ".join(name for name in names if name in os.environ).encode()]
        """,
    )
    assert server.get("/").body == b"KEPT ADDED"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_application_never_runs_as_root(server_factory: ServerFactory) -> None:
    """Imported by the zygote, which has given up root before."""
    settings = {"app": {"target": "whoami:app"}, "server": {"user": "nobody", "umask": "027"}}
    server = server_factory(settings)
    server.wait_ready()
    at_import, at_request = server.get("/").body.decode().splitlines()
    assert at_import == at_request
    assert "uid=(65534, 65534, 65534)" in at_import
    assert "umask=0o27" in at_import
    assert f"home={pwd.getpwnam('nobody').pw_dir}" in at_import
    (worker,) = server.workers()
    assert psutil.Process(server.pid).uids().real == 0
    assert psutil.Process(worker).uids() == (65534, 65534, 65534)
    # The setting that ends it with its parent is cleared by the change of user, and was renewed.
    server.process.kill()
    server.process.wait()
    _, alive = psutil.wait_procs([psutil.Process(worker)] if psutil.pid_exists(worker) else [], timeout=10)
    assert not alive
