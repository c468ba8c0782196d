"""What each signal to the master does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import processes
from support.deadline import Deadline
from support.gate import Gate
from support.server import Server, ServerFactory

from .conftest import deploy

Deployed = Callable[..., Server]
Serve = ServerFactory


def send_each(server: Server, number: signal.Signals, count: int) -> None:
    """`count` signals, each sent when the one before has been delivered: the kernel keeps only one pending."""
    deadline = Deadline()
    for _ in range(count):
        server.signal(number)
        while is_pending(server.pid, number):
            assert not deadline.passed
            os.sched_yield()


def is_pending(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    masks = [
        int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))
    ]
    return any(mask >> (number - 1) & 1 for mask in masks)


def test_six_ttin_add_six_workers_and_ttou_takes_them_away(deployed: Deployed) -> None:
    server = deployed(workers=1)
    send_each(server, signal.SIGTTIN, 6)
    server.wait_for_workers(7)
    assert {fields["worker"] for fields in server.log.events("worker_ready")} == set("1234567")
    send_each(server, signal.SIGTTOU, 5)
    server.wait_for_workers(2)
    assert [f["how"] for f in server.log.events("worker_exited")] == ["exit code 0"] * 5


def test_ttou_leaves_one_worker(deployed: Deployed) -> None:
    server = deployed(workers=1)
    server.signal(signal.SIGTTOU)
    server.wait_for_event("not_scaled", workers=1)
    assert len(server.workers()) == 1


@pytest.mark.parametrize("resume", [signal.SIGHUP, signal.SIGTTIN])
def test_winch_drains_all_workers_and_keeps_the_master(deployed: Deployed, resume: signal.Signals) -> None:
    server = deployed(workers=2)
    server.signal(signal.SIGWINCH)
    server.wait_for_event("paused")
    server.wait_for_workers(0)
    # Nobody is refused meanwhile: the listener stays, and the queue holds who comes.
    with server.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        server.signal(resume)
        server.wait_for_workers(2)
        assert connection.read_response().status == 200


def test_usr1_reopens_every_log_file_for_every_process(deployed: Deployed) -> None:
    server = deployed(
        workers=1,
        settings={"log": {"access": "access.log"}},
    )
    log = server.directory / "access.log"
    assert server.get("/before").status == 200
    log.rename(server.directory / "access.log.1")
    mark = server.mark()
    server.signal(signal.SIGUSR1)
    server.wait_for_event("logs_reopened", after=mark)
    # The worker hears of it a moment later; until then it writes to the old file.
    deadline = Deadline()
    while "/after" not in log.read_text():
        assert not deadline.passed
        assert server.get("/after").status == 200
    # A replacement, forked by the zygote, writes to the fresh file as well.
    os.kill(next(iter(server.workers())), signal.SIGKILL)
    server.wait_for_event("worker_ready", after=mark)
    assert server.get("/replacement").status == 200
    assert server.stop() == 0
    assert "/before" in (server.directory / "access.log.1").read_text()
    assert "/replacement" in log.read_text()


def test_term_finishes_the_running_request_and_a_second_one_does_not_wait(
    server_factory: ServerFactory, gate: Gate
) -> None:
    server = server_factory({"app": {"target": "probe:app"}}).wait_ready()
    with server.connect() as connection:
        connection.send(f"GET /gate?path={gate.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        server.wait_for_log("at the gate")
        server.signal(signal.SIGTERM)
        server.wait_for_event("stopping", how="graceful")
        server.signal(signal.SIGTERM)
        server.wait_for_event("stopping", how="fast")
        assert server.wait() == 0
    (died,) = server.log.events("worker_exited")
    assert died["how"] in ("signal 9 (SIGKILL)", "exit code 0")


def test_term_waits_for_the_running_request(server_factory: ServerFactory, gate: Gate) -> None:
    server = server_factory({"app": {"target": "probe:app"}}).wait_ready()
    with server.connect() as connection:
        connection.send(f"GET /gate?path={gate.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        server.wait_for_log("at the gate")
        server.signal(signal.SIGTERM)
        server.wait_for_event("stopping", how="graceful")
        gate.open()
        assert connection.read_response().status == 200
    assert server.wait() == 0


def test_drain_timeout_ends_a_request_that_does_not(server_factory: ServerFactory, gate: Gate) -> None:
    server = server_factory({"app": {"target": "probe:app"}, "workers": {"drain_timeout": 0.2}}).wait_ready()
    with server.connect() as connection:
        connection.send(f"GET /gate?path={gate.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        server.wait_for_log("at the gate")
        assert server.stop() == 0
    (died,) = server.log.events("worker_exited")
    assert died["how"] == "signal 9 (SIGKILL)"
    assert died["killed"] == "still busy after drain_timeout = 0.2s"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_stop_fast(deployed: Deployed, number: signal.Signals) -> None:
    server = deployed(workers=2)
    assert server.stop(number) == 0
    assert server.wait_for_event("stopping")["how"] == "fast"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_the_first_import(
    server_factory: ServerFactory, gate: Gate, number: signal.Signals
) -> None:
    server = server_factory(
        {"app": {"target": "waits_at_import:app", "env": {"GATE": str(gate.path)}}},
    )
    server.wait_for_log("at the gate")
    assert server.stop(number) == 0


def test_a_stop_during_a_reload(deployed: Deployed, gate: Gate) -> None:
    server = deployed(workers=1, settings={"app": {"preload": "never"}})
    deploy(
        server, "v2", f"sys.stderr.write('waiting\\n'); os.read(os.open({str(gate.path)!r}, os.O_RDWR), 1)"
    )
    server.signal(signal.SIGHUP)
    server.wait_for_log("^waiting")
    assert server.stop() == 0


def test_signals_for_the_master_do_not_hurt_its_children(deployed: Deployed) -> None:
    """`pkill -HUP prefork` and a Ctrl-C reach everybody."""
    server = deployed(workers=1)
    (worker,) = server.workers()
    zygote = int(server.wait_for_event("zygote_ready")["pid"])
    harmless = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH]
    for number in [*harmless, signal.SIGTTIN, signal.SIGTTOU]:
        os.kill(worker, number)
        os.kill(zygote, number)
    os.kill(zygote, signal.SIGTERM)
    assert server.get("/").status == 200
    server.signal(signal.SIGTTIN)
    server.wait_for_workers(2)
    assert worker in server.workers(), server.log.text
    assert processes.is_alive(zygote)


def test_ignored_and_blocked_signals_are_no_inheritance(deployed: Deployed, tmp_path: Path) -> None:
    """nohup starts us with SIGHUP ignored; a parent may have blocked SIGTERM. Both survive exec."""
    launcher = tmp_path / "launcher.py"
    launcher.write_text(
        "import os, signal, sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD, signal.SIGTTIN])\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'prefork', *sys.argv[1:]])\n"
    )
    server = deployed(workers=1, executable=(sys.executable, str(launcher)))
    server.reload()
    (worker,) = server.wait_for_workers(1, gen=2)
    status = Path(f"/proc/{worker}/status").read_text()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
    assert int(masks["SigBlk"], 16) == 0
    assert not int(masks["SigIgn"], 16) >> (signal.SIGHUP - 1) & 1
    assert server.stop() == 0
