"""`prefork top`, `status` and `stacks` in a real terminal (tmux): what is on the screen, what keys do, what is left behind."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.deadline import DEADLINE_S, SLOWNESS, Deadline
from support.gate import Gate
from support.http import encode
from support.load import Load
from support.server import Server, ServerFactory
from support.tmux import MISSING, PROMPT, Tmux

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

PREFORK = (sys.executable, "-m", "prefork")


@pytest.fixture(scope="module")
def server(module_server_factory: ServerFactory) -> Server:
    """Two workers with two threads each, for all tests that leave it as it was."""
    settings = {
        "app": {"target": "probe:app"},
        "server": {"name": "shop"},
        "workers": {"count": 2, "threads": 2},
    }
    return module_server_factory(settings).wait_ready()


@pytest.fixture
def terminal() -> Iterator[Tmux]:
    """100 by 30 characters."""
    with Tmux() as made:
        yield made


def top(terminal: Tmux, server: Server, *words: str) -> None:
    terminal.run(*PREFORK, "top", "--interval", "0.2", "-c", str(server.config), *words)


def test_it_shows_load_and_sorts(server: Server, terminal: Tmux, gate: Gate) -> None:
    top(terminal, server)
    terminal.wait_for(r"^shop  serving  generation 1 ")
    with Load(server.address, keep_alive=8, fresh=2, pace_s=0.02):
        terminal.wait_for(r"^req/s [1-9]\d*  p50 \d.*p99 \d")
        terminal.wait_for(r"^req/s .*[▁-▇]{2}")
        terminal.wait_for(r"^ +1 +\d+ +1 accepting +\d/2 +[1-9]")
    terminal.wait_for(r"^req/s 0  ")  # a difference, not a sum
    terminal.keys("s")
    terminal.wait_for(r"sort: req/s")
    with server.connect() as connection:
        mark = server.mark()
        connection.send(encode("GET", f"/gate?path={gate.path}"))
        pid = server.wait_for_log(r"at the gate", after=mark) and _busy_worker(server)
        terminal.keys("a")
        terminal.wait_for(r"sort: age")
        row = terminal.wait_for(rf"^.*\n +\d +{pid} .* 1/2 .*GET /gate\?path=").group()
        assert "REQUEST" in row, "the oldest request is in the first row"
        gate.open(1)
        assert connection.read_response().status == 200
    terminal.keys("q")
    terminal.wait_for(rf"^{PROMPT}$")


def _busy_worker(server: Server) -> int:
    status = json.loads(server.command("status", "--json").stdout)
    (busy,) = [worker["pid"] for worker in status["workers"] if worker["busy"]]
    return int(busy)


def test_the_stack_of_a_stuck_request(server: Server, terminal: Tmux, gate: Gate) -> None:
    with server.connect() as connection:
        mark = server.mark()
        connection.send(encode("GET", f"/gate?path={gate.path}"))
        server.wait_for_log("at the gate", after=mark)
        top(terminal, server, "--sort", "age")
        terminal.wait_for(r"GET /gate")
        terminal.keys("t")
        terminal.wait_for(r"^thread \d, \d.*s: GET /gate")
        terminal.wait_for(r'^    File ".*gates\.py", line \d+ in wait_at')
        terminal.wait_for(r"^the loop waits for clients")
        terminal.resize(80, 24)
        terminal.wait_for(r"\A.{0,80}\n(?:.{0,80}\n)*thread \d, .*: GET /gate(?:.|\n)*\n q  quit")
        assert len(terminal.lines) == 24
        terminal.keys("PageDown", "Escape")
        terminal.wait_for(r"\A(?!(.|\n)*thread \d)")
        gate.open(1)
        assert connection.read_response().status == 200


def test_help_and_a_question_that_is_answered_with_no(server: Server, terminal: Tmux) -> None:
    top(terminal, server)
    terminal.wait_for(r"accepting")
    terminal.keys("?")
    terminal.wait_for(r"select a worker")
    terminal.keys("q", "p")
    terminal.wait_for(r"pause: .*\? y/n")
    terminal.keys("n", "Down", "R")
    terminal.wait_for(r"recycle worker 2 \(pid \d+\)\? y/n")
    terminal.keys("n")
    terminal.wait_for(r"^ q  quit")
    assert len(server.workers()) == 2


def test_recycling_a_worker_and_a_server_that_comes_back(
    server_factory: ServerFactory, terminal: Tmux
) -> None:
    settings = {"app": {"target": "probe:app"}, "workers": {"count": 2}}
    server = server_factory(settings).wait_ready()
    before = terminal_pids(server)
    top(terminal, server)
    terminal.wait_for(r"accepting")
    terminal.keys("j", "R", "y")
    terminal.wait_for(r"recycling begins: worker 2")
    terminal.wait_for(rf"^ +2 +(?!{before[2]} )\d+ +1 accepting")
    assert terminal_pids(server)[1] == before[1]
    server.reload()
    terminal.wait_for(r"^.* serving  generation 2 ")
    server.stop()
    terminal.wait_for(r"^as it was .* ago, trying again: no server is running at ")
    again = server_factory(settings, directory=server.directory).wait_ready()
    terminal.wait_for(rf"serving  generation 1 .* pid {again.pid} ")


def terminal_pids(server: Server) -> dict[int, int]:
    status = json.loads(server.command("status", "--json").stdout)
    return {worker["worker"]: worker["pid"] for worker in status["workers"]}


@pytest.mark.parametrize("end", ["q", "C-c", "TERM"])
def test_the_terminal_is_given_back(server: Server, terminal: Tmux, end: str) -> None:
    state = "#{alternate_on} #{cursor_flag} #{wrap_flag}"
    terminal.run("stty", "-g")
    before = terminal.wait_for(r"^[0-9a-f]+(:[0-9a-f]+){10,}$").group()
    top(terminal, server)
    terminal.wait_for(r"accepting")
    assert terminal.ask(state) == "1 0 0"
    if end == "TERM":
        # Once suspended and continued: that restores, and takes, as well.
        terminal.keys("C-z")
        terminal.wait_for(r"Stopped")
        assert terminal.ask(state) == "0 1 1"
        terminal.run("fg")
        terminal.wait_for(r"accepting")
        assert terminal.ask(state) == "1 0 0"
        shell = terminal.ask("#{pane_pid}")
        (child,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
    else:
        terminal.keys(end)
    terminal.wait_for(rf"^{PROMPT}$")
    assert terminal.ask(state) == "0 1 1"
    terminal.run("stty", "-g")
    after = terminal.wait_for(rf"^{PROMPT} stty -g\n.*\n(.*\n)*{PROMPT} stty -g\n({before})$")
    assert after


def test_into_a_pipe_it_writes_lines(server: Server) -> None:
    process = subprocess.Popen(
        [*PREFORK, "top", "--interval", "0.1", "-c", str(server.config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        titles = process.stdout.readline().split()
        for _ in range(2):
            fields = dict(zip(titles, process.stdout.readline().split(), strict=True))
            assert (fields["STATE"], fields["GEN"], fields["WORKERS"]) == ("serving", "1", "2/2")
        process.send_signal(signal.SIGINT)
        assert process.wait(Deadline().remaining()) == 128 + signal.SIGINT
    once = server.command("top", "--once", "--interval", "0.1")
    assert (once.returncode, len(once.stdout.splitlines())) == (0, 2)


@pytest.fixture
def without_rich(tmp_path: Path) -> dict[str, str]:
    """An environment in which it cannot be imported."""
    (tmp_path / "rich.py").write_text('raise ModuleNotFoundError("No module named \'rich\'", name="rich")\n')
    return {"PYTHONPATH": str(tmp_path)}


def on_a_terminal(server: Server, *words: str, **environment: str) -> tuple[int, str]:
    """The command with a terminal that nobody types at; its exit code and output."""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as output:
        process = subprocess.Popen(
            [*PREFORK, *words, "-c", str(server.config)],
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        written = b""
        try:
            while data := output.read(65536):
                written += data
        except OSError:
            pass  # EIO: nobody has the terminal any more (pty(7))
        return process.wait(DEADLINE_S * SLOWNESS), written.decode().replace("\r\n", "\n")


def test_without_rich_top_says_what_to_install_and_status_is_plain(
    server: Server, without_rich: dict[str, str]
) -> None:
    code, output = on_a_terminal(server, "top", **without_rich)
    assert code == 1
    (line,) = output.splitlines()
    assert "pip install 'prefork[top]'" in line
    code, output = on_a_terminal(server, "status", **without_rich)
    assert code == 0
    assert output.startswith("shop: serving, pid ")
    assert "\x1b" not in output


def test_status_is_coloured_on_a_terminal_unless_somebody_minds(server: Server) -> None:
    code, coloured = on_a_terminal(server, "status")
    assert code == 0
    assert "\x1b[1;32mserving\x1b[0m" in coloured
    plain = on_a_terminal(server, "status", NO_COLOR="1")[1]
    assert "\x1b" not in plain
    assert "\x1b" not in on_a_terminal(server, "status", "--plain")[1]
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    numbers = re.compile(r"\d+(\.\d+)?")
    assert [numbers.sub("#", line).split() for line in stripped.splitlines()] == [
        numbers.sub("#", line).split() for line in plain.splitlines()
    ]
