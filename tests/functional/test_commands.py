"""Commands to a running server, as a person types them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support.deadline import DEADLINE_S, SLOWNESS, Deadline, eventually
from support.gate import Gate
from support.http import encode
from support.processes import is_alive
from support.server import Server, ServerFactory


def control_of(server: Server) -> Path:
    return Path(server.wait_for_event("control_listening")["path"])


def prefork(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prefork", *words],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S * SLOWNESS,
        check=False,
    )


# finding the server -------------------------------------------------------------------------------------------------


def test_the_socket_is_private_and_goes_with_the_server(serve: ServerFactory) -> None:
    server = serve("probe:app")
    path = control_of(server)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert server.stop() == 0
    assert not path.exists()
    done = server.command("status")
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"prefork: no server of {server.config} is running")


def test_two_servers_of_one_name_do_not_meet(serve: ServerFactory) -> None:
    one, two = (serve("probe:app") for _ in range(2))
    assert control_of(one) != control_of(two)
    assert json.loads(one.command("status", "--json").stdout)["pid"] == one.pid
    assert json.loads(two.command("status", "--json").stdout)["pid"] == two.pid


def test_a_path_of_ones_own(serve: ServerFactory, tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    server = serve("probe:app", settings={"server": {"control": str(path)}})
    assert control_of(server) == path
    assert server.command("status").returncode == 0
    assert prefork("status", "--control", str(path)).stdout.startswith("prefork: serving")
    # Even with a file that is broken now.
    server.config.write_text(server.config.read_text() + "\n[workers2]\n")
    assert server.command("status").returncode == 0


def test_nobody_answers_at_a_path() -> None:
    done = prefork("status", "--control", "/nowhere/c.sock")
    assert (done.returncode, done.stderr) == (1, "prefork: no server is running at /nowhere/c.sock\n")


def test_off_means_off(serve: ServerFactory) -> None:
    server = serve("probe:app", settings={"server": {"control": "off"}})
    assert not list(server.log.events("control_listening"))
    done = server.command("status")
    assert done.returncode == 1
    assert 'server.control = "off"' in done.stderr


def test_an_address_in_use_fails_only_if_it_was_asked_for(
    serve: ServerFactory, server_factory: ServerFactory
) -> None:
    one = serve("probe:app")
    taken = str(control_of(one))
    two = server_factory(
        {"app": {"target": "probe:app"}, "server": {"control": f"{taken}/../{Path(taken).name}"}}
    )
    two.wait_for_event("control_unavailable")  # the same place as by default: no reason not to serve
    two.wait_ready()


def test_the_socket_survives_a_reload(serve: ServerFactory) -> None:
    server = serve("probe:app")
    before = control_of(server).stat()
    server.reload()
    assert control_of(server).stat().st_ino == before.st_ino
    assert server.command("status").returncode == 0


def test_a_client_that_says_nothing_holds_nobody(serve: ServerFactory) -> None:
    server = serve("probe:app")
    path = control_of(server)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    try:
        for sock in silent:
            sock.connect(str(path))
        assert server.command("status").returncode == 0
        silent[0].settimeout(DEADLINE_S * SLOWNESS)
        assert silent[0].recv(1) == b""
    finally:
        for sock in silent:
            sock.close()


# commands -----------------------------------------------------------------------------------------------------------


def test_status_is_a_table_for_people_and_a_document_for_programs(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2)
    server.reload()
    server.wait_for_workers(2, gen=2)
    lines = server.command("status").stdout.splitlines()
    assert lines[0].startswith(f"prefork: serving, pid {server.pid}, ")
    assert lines[1] == f"listening on {server.address}"
    assert re.fullmatch(r"last reload .* ago: generation 2 serves", lines[2])
    assert re.fullmatch(r"generation 1: parked, zygote \d+ ready, preloaded, kept for .* more", lines[3])
    assert re.fullmatch(r"generation 2: active, zygote \d+ ready, preloaded", lines[4])
    rows = [line.split() for line in lines[lines.index("") + 1 :]]
    assert rows[0][:7] == ["WORKER", "PID", "GEN", "STATE", "AGE", "BUSY", "REQUESTS"]
    assert {int(row[1]) for row in rows[1:]} == server.workers().keys()
    for _ in range(5):
        server.get("/")
    document = json.loads(server.command("status", "--json").stdout)
    assert sum(worker["requests"] for worker in document["workers"]) == 5
    assert document["v"] == 1
    assert document["state"] == "serving"
    assert [worker["worker"] for worker in document["workers"]] == [1, 2]
    assert "requests: 5 answered (2xx 5)" in server.command("status").stdout.splitlines()


def test_status_shows_what_workers_share(serve: ServerFactory, tmp_path: Path) -> None:
    """Copy-on-write: what the import and the warm-up left in memory is there once, however many workers serve it."""
    (tmp_path / "large.py").write_text(
        "CACHE = []\n"
        "def app(environ, start_response):\n"
        "    if not CACHE:\n"
        "        CACHE.extend([number] for number in range(400_000))  # about 35 MiB of small objects\n"
        "    start_response('200 OK', [('Content-Length', '2')])\n"
        "    return [b'ok']\n"
    )
    server = serve("large:app", workers=3, settings={"app": {"path": [str(tmp_path)], "warmup": ["/"]}})
    for _ in range(30):
        assert server.get("/").status == 200
    workers = json.loads(server.command("status", "--json").stdout)["workers"]
    for worker in workers:
        memory = worker["memory"]
        assert memory["private"] + memory["shared"] == memory["rss"]
        assert memory["shared"] > 30 << 20
        assert memory["private"] < 15 << 20


def test_reload_without_wait_returns_at_once(serve: ServerFactory) -> None:
    server = serve("probe:app")
    done = server.command("reload")
    assert (done.returncode, done.stdout) == (0, "reload begins\n")
    server.wait_for_event("reload_done", gen=2)


def test_reload_and_rollback_print_each_step(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2)
    server.configure({"workers": {"threads": 2}})
    lines = server.command("reload", "--wait").stdout.splitlines()
    assert lines[0] == "reload: generation 2 begins"
    assert "setting: workers.threads = 2 (was 1)" in lines
    assert "application imported" in lines
    for worker in (1, 2):
        assert f"worker {worker} of generation 2 accepts connections" in lines
    assert lines[-1] == "generation 2 serves"
    lines = server.command("rollback", "--wait").stdout.splitlines()
    assert lines[0] == "rollback: generation 1 takes over from 2"
    assert lines[-1] == "generation 1 serves"
    server.wait_for_workers(2, gen=1)


def test_wrong_settings_are_told_line_by_line(serve: ServerFactory) -> None:
    server = serve("probe:app")
    server.configure({"workers": {"threads": 0}, "requests": {"max_headers": "many"}})
    done = server.command("reload", "--wait")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line for line in lines if "[workers] threads = 0" in line]
    assert [line for line in lines if "[requests] max_headers = " in line]
    assert lines[-2:] == ["prefork: reload failed (settings)", "prefork: generation 1 goes on serving"]


def test_a_second_reload_waits_for_the_one_that_includes_it(
    serve: ServerFactory, gate: Gate, tmp_path: Path
) -> None:
    code = tmp_path / "release.py"
    app = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'%s']\n"
    code.write_text(app % "one")
    server = serve("release:app", settings={"app": {"path": [str(tmp_path)]}})
    code.write_text(f"import os\nos.read(os.open({str(gate.path)!r}, os.O_RDWR), 1)\n" + app % "two")
    mark = server.mark()
    first = _reload_in_background(server)
    server.wait_for_event("reload_started", after=mark, gen=2)
    mark = server.mark()
    second = _reload_in_background(server)
    server.wait_for_event("reload_queued", after=mark)
    code.write_text(app % "three")
    gate.open(1)
    assert first.communicate(timeout=DEADLINE_S * SLOWNESS)[0].splitlines()[-1] == "generation 2 serves"
    assert second.communicate(timeout=DEADLINE_S * SLOWNESS)[0].splitlines()[-1] == "generation 3 serves"
    assert server.get("/").body == b"three"


def _reload_in_background(server: Server) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "prefork", "reload", "--wait", "-c", str(server.config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_rollback_without_anything_to_go_back_to(serve: ServerFactory) -> None:
    server = serve("probe:app")
    for words in (["rollback"], ["rollback", "--wait"]):
        done = server.command(*words)
        assert done.returncode == 1
        assert "no previous generation is kept" in done.stderr


def test_scale(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2)
    assert server.command("scale", "+2").stdout == "workers: 4\n"
    server.wait_for_workers(4)
    assert server.command("scale", "-1").stdout == "workers: 3\n"
    server.wait_for_workers(3)
    assert server.command("scale", "1").stdout == "workers: 1\n"
    server.wait_for_workers(1)
    assert server.command("scale", "1").stdout == "workers: 1, as before\n"
    assert server.command("scale", "many").returncode == 2


def test_recycle(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2)
    before = server.workers()
    assert server.command("recycle", "1").returncode == 0
    server.wait_for_event("worker_ready", after=0, worker=1, gen=1)
    server.log.wait_until(lambda: len(server.workers().keys() - before.keys()) == 1 or None, "one new worker")
    after = server.wait_for_workers(2)
    assert len(after.keys() & before.keys()) == 1
    assert server.command("recycle").returncode == 0
    server.log.wait_until(
        lambda: (not server.workers().keys() & after.keys() and len(server.workers()) == 2) or None,
        "two new workers",
    )
    done = server.command("recycle", "7")
    assert done.returncode == 1
    assert "there is no worker 7 (workers: 1, 2)" in done.stderr


def test_pause_and_resume(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2)
    assert server.command("pause").stdout == "paused\n"
    server.wait_for_workers(0)
    assert "workers: none" in server.command("status").stdout
    assert server.command("pause").stdout == "it was paused already\n"
    with server.connect() as connection:
        connection.send(encode("GET", "/"))
        assert server.command("resume").stdout == "resumed\n"
        assert connection.read_response().status == 200
    assert server.command("resume").stdout == "it was neither paused nor drained\n"


def test_reopen_logs(serve: ServerFactory, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    server = serve("probe:app", settings={"log": {"access": str(log)}})
    log.rename(tmp_path / "access.log.1")
    done = server.command("reopen-logs")
    assert (done.returncode, done.stdout) == (0, "log files are open anew\n")
    assert log.exists()
    log.unlink()
    (tmp_path / "access.log").mkdir()
    done = server.command("reopen-logs")
    assert done.returncode == 1
    assert "access.log" in done.stderr


def test_stacks_show_where_every_thread_is(serve: ServerFactory, gate: Gate) -> None:
    server = serve("probe:app", workers=2, threads=2)
    with server.connect() as connection:
        mark = server.mark()
        connection.send(encode("GET", f"/gate?path={gate.path}"))
        server.wait_for_log("at the gate", after=mark)
        text = server.command("stacks").stdout
        everything = server.command("stacks", "--all").stdout
        document = json.loads(server.command("stacks", "--json").stdout)
        gate.open(1)
        assert connection.read_response().status == 200
    assert [line for line in text.splitlines() if line.startswith("worker 1, pid ")]
    assert [line for line in text.splitlines() if line.startswith("worker 2, pid ")]
    stuck = re.compile(
        r'^  thread (\d), [\d.]+s: GET /gate.* from 127.0.0.1\n {6}File ".*gates.py", line \d+ in wait_at\n',
        re.M,
    )
    assert stuck.search(text)
    assert text.count("2 threads wait for a request") == 1
    assert text.count("1 thread waits for a request") == 1
    assert text.count("the loop waits for clients") == 2
    assert "/prefork/" not in text
    assert "/prefork/worker/loop.py" in everything
    assert document["v"] == 1
    threads = [thread for worker in document["workers"] for thread in worker["threads"]]
    (found,) = [thread for thread in threads if thread["request"]]
    assert found["request"]["request"].startswith("GET /gate")
    assert (found["role"], found["idle"], found["frames"][0]["function"]) == ("pool", False, "wait_at")
    assert server.command("stacks", "9").returncode == 1


def test_stacks_show_c_code_that_holds_the_interpreter(serve: ServerFactory, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "import ctypes, sys\n"
        "def hold_the_interpreter():\n"
        "    ctypes.PyDLL(None).sleep(600)\n"
        "def app(environ, start_response):\n"
        "    sys.stderr.write('stuck now\\n'); sys.stderr.flush()\n"
        "    hold_the_interpreter()\n"
    )
    server = serve("stuck:app", settings={"app": {"path": [str(tmp_path)]}})
    with server.connect() as connection:
        connection.send(encode("GET", "/"))
        server.wait_for_log("stuck now")
        lines = server.command("stacks", "1").stdout.splitlines()
    assert re.fullmatch(r"  thread 1, [\d.]+s: GET / HTTP/1.1, from 127.0.0.1", lines[1])
    assert lines[2].endswith('stuck.py", line 3 in hold_the_interpreter')


def test_stacks_of_a_stopped_worker_are_missing_and_said_so(serve: ServerFactory) -> None:
    server = serve("probe:app", workers=2)
    first, second = server.workers()
    os.kill(first, signal.SIGSTOP)
    try:
        text = server.command("stacks").stdout
    finally:
        os.kill(first, signal.SIGCONT)
    assert "no answer" in text
    assert f"pid {second}" in text
    assert "the loop waits for clients" in text


def test_stop_answers_what_runs_and_returns_when_all_is_over(serve: ServerFactory, gate: Gate) -> None:
    server = serve("probe:app")
    with server.connect() as connection:
        mark = server.mark()
        connection.send(encode("GET", f"/gate?path={gate.path}"))
        server.wait_for_log("at the gate", after=mark)
        stop = subprocess.Popen(
            [sys.executable, "-m", "prefork", "stop", "-c", str(server.config)],
            stdout=subprocess.PIPE,
            text=True,
        )
        server.wait_for_event("stopping", how="graceful")
        assert stop.poll() is None
        gate.open(1)
        assert connection.read_response().status == 200
    assert stop.communicate(timeout=DEADLINE_S * SLOWNESS)[0].splitlines()[-1] == "stopped"
    assert stop.returncode == 0
    assert not is_alive(server.pid)
    assert server.wait(Deadline().remaining()) == 0


def test_stop_fast_does_not_wait(serve: ServerFactory, gate: Gate) -> None:
    server = serve("probe:app")
    with server.connect() as connection:
        mark = server.mark()
        connection.send(encode("GET", f"/gate?path={gate.path}"))
        server.wait_for_log("at the gate", after=mark)
        assert server.command("stop", "--fast").returncode == 0
    assert server.wait() == 0


# output that goes nowhere -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("--version",), ("config", "--help"), ("init", "--help"), ("reload", "--help")]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line(words: tuple[str, ...], unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    argv = [sys.executable, "-m", "prefork", *words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            argv, stdout=full, stderr=subprocess.PIPE, env=environment, text=True, check=False
        )
    if "--help" in words and unbuffered:
        # argparse does not look whether its help has been written.
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert done.returncode == 1
    assert done.stderr == "prefork: the output cannot be written: No space left on device\n"


def test_streams_that_are_closed_are_streams_to_nowhere() -> None:
    """The lowest number that is free is the next descriptor's: a socket would be standard output."""
    argv = [sys.executable, "-m", "prefork", "--version"]
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv], check=False)
    assert done.returncode == 0


def test_a_server_without_streams_has_none_of_its_sockets_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    argv = [sys.executable, "-m", "prefork", "probe:app", "--bind", f"unix:{path}", "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "apps")}
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv]
    with subprocess.Popen(closed, env=environment, cwd=tmp_path) as server:
        try:
            eventually(lambda: answers(path), "an answer", deadline_s=DEADLINE_S * SLOWNESS)
            family = [server.pid, *(child.pid for child in psutil.Process(server.pid).children())]
            streams = {
                Path(f"/proc/{pid}/fd/{fd}").readlink().as_posix() for pid in family for fd in range(3)
            }
            assert streams == {"/dev/null"}
        finally:
            server.terminate()
            assert server.wait(DEADLINE_S * SLOWNESS) == 0


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        client.sendall(encode("GET", "/"))
        return client.recv(65536).startswith(b"HTTP/1.1 200")
