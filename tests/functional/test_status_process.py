"""The status process of a real server: it answers whatever the workers do, and nobody can hold it."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support import processes
from support.deadline import Deadline, eventually
from support.gate import Gate
from support.http import Response, encode
from support.logs import fields_of
from support.measured import Measured
from support.server import Server, ServerFactory

STATUS = {"status": {"listen": ["127.0.0.1:0"]}}


def pid_of_status(server: Server, after: int = 0) -> int:
    return int(server.wait_for_event("status_ready", after=after)["pid"])


def document(server: Server) -> Any:
    return json.loads(server.ask("/status").body)


def answers(server: Server, path: str, status: int, text: str = "") -> None:
    """Wait until `path` is answered so."""
    last: list[Response] = []

    def right() -> bool:
        last[:] = [server.ask(path)]
        return last[0].status == status and text in last[0].text

    try:
        eventually(right, f"{status} {text!r} from {path}")
    except AssertionError:
        raise AssertionError(f"{path} says {last[0].status} {last[0].text if last else ''}") from None


@pytest.fixture(scope="module")
def shared(module_server_factory: ServerFactory) -> Server:
    """One that serves, for tests that leave it as it was."""
    tables = {"app": {"target": "probe:app"}, "workers": {"count": 2, "threads": 2}, **STATUS}
    server = module_server_factory(tables).wait_ready()
    pid_of_status(server)
    return server


def test_it_says_what_prefork_status_says(shared: Server) -> None:
    shared.get("/worker")
    eventually(lambda: document(shared)["counters"]["requests"] == 1, "the request in the counters")
    asked = document(shared)
    ended = shared.command("status", "--json")
    told = json.loads(ended.stdout)
    told["stale_s"] = 0
    assert asked.keys() == told.keys()
    assert [each.keys() for each in asked["workers"]] == [each.keys() for each in told["workers"]]
    assert [each["pid"] for each in asked["workers"]] == [each["pid"] for each in told["workers"]]
    assert all(each["memory"]["rss"] > 1 << 20 for each in asked["workers"])


def test_requests_to_it_are_not_counted_among_those_to_the_site(shared: Server) -> None:
    before = document(shared)["counters"]
    for path in ("/", "/healthz", "/nothing", "/metrics"):
        shared.ask(path)
    assert document(shared)["counters"] == before


def test_promtool_accepts_the_metrics(shared: Server) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing (Debian package prometheus)")
    for path in ("/", "/nothing"):
        shared.get(path)
    metrics = shared.ask("/metrics")
    assert metrics.status == 200
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.body, capture_output=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_promtool_accepts_the_rules_for_alerts() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing (Debian package prometheus)")
    rules = Path(__file__).parents[2] / "docs" / "deploy" / "prometheus-alerts.yml"
    checked = subprocess.run(
        [promtool, "check", "rules", rules], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stderr


COUNTING = """
from prefork import metrics

orders = metrics.counter("shop_orders", "Orders.", labels=("country",))
took = metrics.histogram("shop_order_seconds", "Time to take one.", buckets=(0.1, 1.0))

def app(environ, start_response):
    orders.labels("ch").inc()
    took.observe(0.5)
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


def test_what_the_application_counts_is_there_too(server_factory: ServerFactory, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(COUNTING)
    tables = {"app": {"target": "shop:app", "path": [str(tmp_path)]}, "workers": {"count": 2}, **STATUS}
    server = server_factory(tables, directory=tmp_path).wait_ready()
    for _ in range(5):
        assert server.get("/").status == 200
    answers(server, "/metrics", 200, 'shop_orders_total{country="ch"} 5.0')
    mark = server.mark()
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)
    for _ in range(2):
        server.wait_for_event("worker_ready", after=mark)
    assert server.get("/").status == 200
    answers(server, "/metrics", 200, 'shop_orders_total{country="ch"} 6.0')
    text = server.ask("/metrics").text
    assert (
        'shop_order_seconds_bucket{le="0.1"} 0.0' in text
        and 'shop_order_seconds_bucket{le="1.0"} 6.0' in text
    )


def test_head_has_no_body_and_writing_is_refused(shared: Server) -> None:
    head = shared.ask("/status", method="HEAD")
    assert head.status == 200 and int(head.header("Content-Length") or 0) > 100
    assert shared.ask("/status", method="POST").status == 405
    assert shared.ask("/status/").status == 404


def test_silent_and_slow_clients_do_not_hold_it(shared: Server) -> None:
    with ExitStack() as stack:
        for _ in range(40):  # more than it takes
            silent = stack.enter_context(shared.connect(shared.status_address))
            silent.send(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(8):  # more than it has threads
            slow = stack.enter_context(shared.connect(shared.status_address, receive_buffer=2048))
            with contextlib.suppress(ConnectionError):
                slow.send(encode("GET", "/") * 20)
        answers(shared, "/healthz", 200)
        answers(shared, "/", 200, "<!doctype html>")


def test_with_every_worker_stuck_it_answers_at_once(serve: ServerFactory, measured: Measured) -> None:
    server = serve("stuck:app", workers=2, settings=STATUS)
    pid_of_status(server)
    with ExitStack() as stack:
        for way in ("sleep", "c_with_the_gil"):
            stack.enter_context(server.connect()).send(encode("GET", f"/{way}"))
        eventually(
            lambda: sum(each["busy"] for each in document(server)["workers"]) == 2, "both workers stuck"
        )
        found = document(server)
        lines = {each["request"] for worker in found["workers"] for each in worker["running"]}
        assert lines == {"GET /sleep HTTP/1.1", "GET /c_with_the_gil HTTP/1.1"}
        with server.connect(server.status_address) as connection:
            for path in ("/healthz", "/status"):
                times = []
                for _ in range(20):
                    began = time.perf_counter()
                    assert connection.get(path).status == 200
                    times.append(time.perf_counter() - began)
                times.sort()
                measured(
                    f"{path} with every worker stuck: median {times[9] * 1e3:.1f} ms, worst {times[-1] * 1e3:.1f} ms"
                )
        server.stop(signal.SIGINT)


def test_killed_it_comes_back_and_the_site_does_not_notice(serve: ServerFactory) -> None:
    server = serve("probe:app", settings=STATUS)
    first = pid_of_status(server)
    workers, mark = server.workers(), server.mark()
    os.kill(first, signal.SIGKILL)
    died = server.wait_for_event("status_died", after=mark)
    assert died["how"] == "signal 9 (SIGKILL)" and died["pid"] == str(first)
    assert pid_of_status(server, after=mark) != first
    answers(server, "/healthz", 200)
    assert server.workers() == workers
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    # Nobody is left to ask: it goes, and the next master finds the address free. (`close` looks for what is left.)


def test_a_master_that_does_not_answer_is_said_to_be_silent(serve: ServerFactory) -> None:
    server = serve("probe:app", settings=STATUS)
    answers(server, "/status", 200)
    server.signal(signal.SIGSTOP)
    try:
        assert processes.read_process(server.pid) is not None
        answers(server, "/healthz", 503, "the master does not answer; its last answer is ")
        answers(server, "/readyz", 503, "the master does not answer")
        stale = document(server)
        assert stale["stale_s"] > 0 and stale["state"] == "serving"
        assert b"prefork_up 0" in server.ask("/metrics").body
    finally:
        server.signal(signal.SIGCONT)
    answers(server, "/healthz", 200)


def test_ready_only_while_a_generation_accepts(
    server_factory: ServerFactory, tmp_path: Path, gate: Gate
) -> None:
    (tmp_path / "late.py").write_text(
        "import os\nfrom gates import wait_at\nwait_at(os.environ['GATE'])\nfrom probe import app\n"
    )
    leaving = Gate(tmp_path / "leaving")
    tables = {"app": {"target": "late:app", "env": {"GATE": str(gate.path)}}, **STATUS}
    server = server_factory(tables, directory=tmp_path)
    server.wait_for_log("at the gate")
    answers(server, "/readyz", 503, "starting")
    answers(server, "/healthz", 200)
    gate.open()
    server.wait_ready()
    answers(server, "/readyz", 200)
    assert server.command("pause").returncode == 0
    answers(server, "/readyz", 503, "paused")
    assert server.command("resume").returncode == 0
    answers(server, "/readyz", 200)
    with server.connect() as connection:
        connection.send(encode("GET", f"/gate?path={leaving.path}"))
        server.wait_for_log(f"at the gate {leaving.path}")
        server.signal(signal.SIGTERM)
        answers(server, "/readyz", 503, "stopping")
        answers(server, "/healthz", 200)
        leaving.open()
        assert connection.read_response().status == 200
    leaving.close()
    assert server.wait() == 0
    told = [str(fields_of(line).get("event")) for line in server.log.lines]
    last = [
        event for event in told if event in ("worker_exited", "zygote_exited", "status_exited", "stopped")
    ]
    assert last[-2:] == ["status_exited", "stopped"]


def listens(server: Server, address: str) -> bool:
    try:
        with server.connect(address):
            return True
    except (ConnectionRefusedError, FileNotFoundError):
        return False


def test_a_reload_moves_it_or_leaves_everything_as_it_was(serve: ServerFactory, tmp_path: Path) -> None:
    server = serve("probe:app", settings=STATUS)
    first, old = pid_of_status(server), server.status_address
    server.reload()
    assert server.ask("/healthz").status == 200
    assert len(list(server.log.events("status_ready"))) == 1, (
        "nothing of it changed: the same process goes on"
    )

    # An address that somebody else has: nothing happens, and nothing of the others stays bound.
    mark = server.mark()
    free = tmp_path / "not.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server.configure({"status": {"listen": [f"unix:{free}", f"127.0.0.1:{port}"]}})
        server.signal(signal.SIGHUP)
        assert (
            f"cannot listen on 127.0.0.1:{port}"
            in server.wait_for_event("reload_failed", after=mark)["error"]
        )
    assert not free.exists()
    assert processes.is_alive(first) and listens(server, old)

    mark = server.mark()
    path = tmp_path / "status.sock"
    server.configure({"status": {"listen": [{"address": f"unix:{path}", "mode": "0640"}]}})
    server.reload()
    second = pid_of_status(server, after=mark)
    assert second != first and path.stat().st_mode & 0o777 == 0o640
    answers(server, "/healthz", 200)
    assert processes.wait_gone(first, Deadline())
    assert not listens(server, old)

    # Back: the address is bound anew.
    mark = server.mark()
    assert server.command("rollback", "--wait").returncode == 0
    third = pid_of_status(server, after=mark)
    eventually(lambda: listens(server, old), "the old address")
    assert not path.exists()

    server.configure({"status": {"listen": []}})
    server.reload()
    assert processes.wait_gone(third, Deadline())
    assert not listens(server, old)


def test_an_upgrade_brings_a_new_one(serve: ServerFactory) -> None:
    server = serve("probe:app", settings=STATUS)
    first, mark = pid_of_status(server), server.mark()
    server.signal(signal.SIGUSR2)
    second = pid_of_status(server, after=mark)
    assert second != first
    server.wait_for_event("reload_done", after=mark)
    assert processes.wait_gone(first, Deadline())
    answers(server, "/readyz", 200)
    assert processes.is_alive(second)


@pytest.fixture
def world_readable(tmp_path: Path) -> Iterator[Path]:
    """A directory that every user may enter."""
    directory = Path("/tmp") / f"prefork-status-{os.getpid()}"
    directory.mkdir(mode=0o755)
    yield directory
    shutil.rmtree(directory)


APPLICATION = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose the user")
def test_it_runs_as_the_configured_user(server_factory: ServerFactory, world_readable: Path) -> None:
    (world_readable / "shop.py").write_text(APPLICATION)
    tables: dict[str, Any] = {
        "app": {"target": "shop:app", "path": [str(world_readable)]},
        "server": {"user": "nobody"},
        **STATUS,
    }
    server = server_factory(tables, directory=world_readable).wait_ready()
    pid = pid_of_status(server)
    account = pwd.getpwnam("nobody")
    text = Path(f"/proc/{pid}/status").read_text()
    ids = dict(line.split(":\t", 1) for line in text.splitlines())
    assert ids["Uid"].split() == [str(account.pw_uid)] * 4
    assert ids["Gid"].split() == [str(account.pw_gid)] * 4
    answers(server, "/readyz", 200)
    assert all(worker["memory"]["rss"] for worker in document(server)["workers"])
