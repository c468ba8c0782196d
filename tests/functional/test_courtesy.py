"""What imports beside those who serve steps back, and never those who serve."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import prefork
from prefork.master import courtesy
from prefork.master.wayback import way_back_from_here
from support.deadline import SLOWNESS, eventually
from support.server import Server, ServerFactory

APP = """
import os

at_import = os.sched_getscheduler(0)

def app(environ, start_response):
    body = b"%d %d" % (at_import, os.sched_getscheduler(0))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

BESIDE_OTHERS = os.SCHED_IDLE if way_back_from_here(True) else os.SCHED_OTHER


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


@pytest.mark.parametrize("threads", [1, 3])
def test_a_worker_beside_others_is_as_usual_when_it_accepts(
    serve: ServerFactory, tmp_path: Path, threads: int
) -> None:
    """Each worker imports the application; with threads, one of those answers."""
    (tmp_path / "policies.py").write_text(APP)
    app = {"path": [str(tmp_path)], "preload": "never"}
    server = serve("policies:app", workers=2, threads=threads, settings={"app": app})
    assert policies(server) == [os.SCHED_OTHER, os.SCHED_OTHER]
    gen = server.reload()
    server.wait_for_workers(2, gen=gen)
    for _ in range(4):
        at_import, serving = policies(server)
        assert at_import in {BESIDE_OTHERS, os.SCHED_OTHER}
        assert serving == os.SCHED_OTHER
    before = server.wait_for_workers(2)
    assert server.command("recycle").returncode == 0
    eventually(lambda: not before.keys() & server.workers().keys(), "new workers")
    server.wait_for_workers(2)
    threads_of = [tid for pid in server.workers() for tid in courtesy._threads(pid)]
    assert {os.sched_getscheduler(tid) for tid in threads_of} == {os.SCHED_OTHER}


@pytest.fixture
def control(tmp_path: Path) -> Iterator[socket.socket]:
    """A control socket on which nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{tmp_path}/control")
        listener.listen()
        listener.settimeout(60 * SLOWNESS)
        yield listener


@pytest.mark.parametrize("words", [["reload", "--wait"], ["recycle"], ["upgrade"], ["rollback"], ["status"]])
def test_the_command_of_a_planned_operation_steps_back_but_not_for_long(
    control: socket.socket, words: list[str]
) -> None:
    planned = words[0] not in ("rollback", "status")
    argv = [sys.executable, "-m", "prefork", *words, "--control", control.getsockname()]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as command:
        connection = control.accept()[0]
        with connection:
            assert connection.recv(65536)
            policy = os.sched_getscheduler(command.pid)
            # It may have come back, on a machine that leaves it nothing.
            assert policy in ({BESIDE_OTHERS, os.SCHED_OTHER} if planned else {os.SCHED_OTHER})
            eventually(lambda: os.sched_getscheduler(command.pid) == os.SCHED_OTHER, "its coming back")
        # The signal that it came back by has interrupted nothing.
        assert command.communicate(timeout=60 * SLOWNESS)[1].decode().count("\n") == 1
        assert command.returncode == 1


def test_to_step_back_imports_next_to_nothing_and_leaves_no_alarm() -> None:
    """What is imported before is in the way of others; and an alarm would end the process while Python ends, which takes the
    handlers away first."""
    code = (
        "import os, sys; before = set(sys.modules); from prefork.cli.considerate import step_back\n"
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('prefork')))\n"
        "come_back = step_back(); print(os.sched_getscheduler(0))\n"
        "come_back(); import signal; print(os.sched_getscheduler(0), signal.getitimer(signal.ITIMER_REAL)[0])"
    )
    # Without what a virtual environment imports for its packages.
    environment = {**os.environ, "PYTHONPATH": str(Path(prefork.__file__).parents[1])}
    argv = [sys.executable, "-S", "-c", code]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"__future__ resource\n{BESIDE_OTHERS}\n{os.SCHED_OTHER} 0.0\n"


@pytest.mark.parametrize(("target", "code"), [("/dev/null", 0), ("/dev/full", 1), ("-", 0)])
def test_the_command_of_a_planned_operation_ends_as_others_do(
    serve: ServerFactory, target: str, code: int
) -> None:
    """Python has not been taken apart then, and yet nothing is kept back."""
    server = serve("whoami:app")
    with open("/dev/null" if target == "-" else target, "w") as out:
        argv = [sys.executable, "-m", "prefork", "recycle", "-c", str(server.config)]
        if target == "-":
            argv = ["sh", "-c", 'exec "$@" >&-', "sh", *argv]
        done = subprocess.run(argv, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr


def test_nobody_elses_process_steps_back() -> None:
    code = (
        "import os; from prefork.cli import main\n"
        "try: main(['reload', '--control', '/nowhere'])\n"
        "except SystemExit as end: print(end.code, os.sched_getscheduler(0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"1 {os.SCHED_OTHER}\n"
