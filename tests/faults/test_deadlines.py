"""Requests that take too long, on real processes: told with their stack, interrupted, only then at the cost of a worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from prefork.master.supervisor import JUMP_S
from support.deadline import SLOWNESS, eventually
from support.gate import Gate
from support.http import ConnectionEndedError, Response
from support.logs import fields_of
from support.measured import Measured
from support.server import Server, ServerFactory

LINES = {
    "spin": "in spin",
    "sleep": "in sleep",
    "lock": "in lock",
    "recv": "in recv",
    "c_with_the_gil": "in c_with_the_gil",
    "c_without_the_gil": "in c_without_the_gil",
}
"""What the stack of each way to get stuck must show."""

Start = Callable[..., Server]


@pytest.fixture
def stuck(serve: ServerFactory) -> Start:
    """Serve `tests/apps/stuck.py` with short limits."""

    def start(threads: int = 1, workers: int = 1, **requests: float) -> Server:
        limits = {"slow": 0.3, "timeout": 0.6, "kill_after": 0.6, **requests}
        tables = {"requests": {key: value * SLOWNESS for key, value in limits.items()}}
        return serve("stuck:app", threads=threads, workers=workers, settings=tables)

    return start


def wait_for_stack(server: Server, event: str, mark: int, line: str) -> None:
    """Until the traceback lines that follow this event hold `line`."""

    def found() -> bool:
        lines = [fields_of(text_line) for text_line in list(server.log.lines)[mark:]]
        at = next((index for index, fields in enumerate(lines) if fields.get("event") == event), None)
        if at is None:
            return False
        text = []
        for fields in lines[at + 1 :]:
            if fields.get("event") != "traceback":
                break
            text.append(fields["line"])
        return any(line in each for each in text)

    server.log.wait_until(found, f"{line!r} in the stack of {event}")


def get_or_cut(server: Server, target: str) -> Response | None:
    """The answer, or None if the connection was cut without one."""
    try:
        return server.get(target)
    except (ConnectionEndedError, ConnectionError):
        return None


@pytest.mark.parametrize("way", ["spin", "sleep", "lock", "recv"])
def test_one_thread_is_interrupted_wherever_it_is(stuck: Start, way: str) -> None:
    server = stuck(threads=1)
    (worker,) = server.workers()
    mark = server.mark()
    answer = server.get(f"/{way}")
    assert (answer.status, answer.body) == (503, b"503 Service Unavailable\n")
    told = server.wait_for_event("request_slow", after=mark)
    assert (told["request"], told["worker"], told["thread"]) == (f"GET /{way} HTTP/1.1", "1", "1")
    wait_for_stack(server, "request_slow", mark, LINES[way])
    assert server.wait_for_event("request_timeout", after=mark)["pid"] == str(worker)
    wait_for_stack(server, "request_interrupted", mark, LINES[way])
    # The worker goes on.
    assert server.get("/quick").body == b"done"
    assert set(server.workers()) == {worker}


@pytest.mark.parametrize("way", ["c_with_the_gil", "c_without_the_gil"])
def test_one_thread_in_c_costs_its_worker_after_a_replacement(stuck: Start, way: str) -> None:
    server = stuck(threads=1)
    (worker,) = server.workers()
    mark = server.mark()
    if way == "c_without_the_gil":
        # ctypes lets the handler in between two calls: it is interrupted like Python.
        assert server.get(f"/{way}").status == 503
        return
    assert get_or_cut(server, f"/{way}") is None
    wait_for_stack(server, "request_slow", mark, LINES[way])
    assert server.wait_for_event("request_stuck", after=mark)["request"] == f"GET /{way} HTTP/1.1"
    ready = server.wait_for_event("worker_ready", after=mark)
    died = server.wait_for_event("worker_exited", after=mark)
    assert died["pid"] == str(worker)
    assert f"stuck in GET /{way} HTTP/1.1" in died["killed"]
    assert set(server.workers()) == {int(ready["pid"])}
    assert server.get("/quick").body == b"done"


@pytest.mark.parametrize("way", ["spin", "sleep", "lock", "recv", "c_without_the_gil"])
def test_nine_healthy_requests_beside_a_stuck_one_are_answered(stuck: Start, way: str) -> None:
    server = stuck(threads=10, slow=0.4, timeout=1.5, kill_after=1.0)
    (worker,) = server.workers()
    mark = server.mark()
    with ThreadPoolExecutor(10) as clients:
        victim = clients.submit(get_or_cut, server, f"/{way}")
        server.wait_for_event("request_slow", after=mark)
        healthy = [clients.submit(server.get, f"/quick?s={0.5 * SLOWNESS}") for _ in range(9)]
        assert [each.result().body for each in healthy] == [b"done"] * 9
        answer = victim.result()
    wait_for_stack(server, "request_slow", mark, LINES[way])
    assert server.wait_for_event("request_timeout", after=mark)["request"] == f"GET /{way} HTTP/1.1"
    assert answer is not None
    assert (answer.status, answer.body) == (503, b"503 Service Unavailable\n")
    if way in ("spin", "c_without_the_gil"):
        assert set(server.workers()) == {worker}
    else:
        # In C, and nothing reaches it there: the loop answers. The worker is replaced, and killed when nobody else is left in it.
        assert server.wait_for_event("request_taken_over", after=mark)["request"] == f"GET /{way} HTTP/1.1"
        died = server.wait_for_event("worker_exited", after=mark)
        assert (died["pid"], died["reason"]) == (str(worker), "request_stuck")
        assert f"stuck in GET /{way} HTTP/1.1" in died["killed"]
    assert server.get("/quick").body == b"done"


def test_a_thread_that_cannot_be_interrupted_is_answered_for(stuck: Start) -> None:
    """At the limit and a moment, not when the thread comes back, whose answer is for nobody; and the worker goes on."""
    server = stuck(threads=2, timeout=0.5, kill_after=0)
    (worker,) = server.workers()
    mark = server.mark()
    with server.connect() as connection:
        answer = connection.get(f"/quick?s={3 * SLOWNESS}")
        assert (answer.status, answer.header("connection")) == (503, "close")
        assert connection.read_to_end() == b""
    taken = server.wait_for_event("request_taken_over", after=mark)
    assert float(taken["elapsed_s"]) < 3 * SLOWNESS
    assert server.get("/quick").body == b"done"
    back = server.wait_for_event("request_came_back", after=mark)
    assert float(back["elapsed_s"]) >= 3 * SLOWNESS
    assert server.get("/quick").body == b"done"
    assert set(server.workers()) == {worker}
    assert not server.log.events("internal_error")


@pytest.mark.parametrize("threads", [1, 4])
def test_work_after_a_response_that_does_not_end_costs_its_worker(stuck: Start, threads: int) -> None:
    server = stuck(threads=threads)
    (worker,) = server.workers()
    mark = server.mark()
    assert server.get("/afterwards").body == b"done"
    wait_for_stack(server, "request_slow", mark, "in sleep")
    died = server.wait_for_event("worker_exited", after=mark)
    assert died["pid"] == str(worker)
    assert "stuck in GET /afterwards HTTP/1.1" in died["killed"]
    assert server.get("/quick").body == b"done"


def test_a_replacement_comes_first_and_siblings_finish(stuck: Start) -> None:
    server = stuck(threads=4, slow=0, timeout=2.0, kill_after=0.5)
    (worker,) = server.workers()
    mark = server.mark()
    with ThreadPoolExecutor(4) as clients, server.connect() as slow_sibling:
        clients.submit(get_or_cut, server, "/sleep")
        server.wait_for_event("request_timeout", after=mark)
        # Streams for longer than it takes until the worker is to be replaced.
        sibling = clients.submit(slow_sibling.get, f"/streaming?s={0.5 * SLOWNESS}")
        server.wait_for_event("worker_ready", after=mark)
        assert psutil.pid_exists(worker)
        assert sibling.result().body == b"piece " * 8
        died = server.wait_for_event("worker_exited", after=mark)
    assert died["pid"] == str(worker)
    events = [fields_of(line).get("event") for line in server.log.lines[mark:]]
    assert events.index("worker_ready") < events.index("worker_exited")


@pytest.mark.parametrize("threads", [1, 4])
def test_a_stream_that_makes_progress_is_not_cut(stuck: Start, threads: int) -> None:
    # Longer than either limit in all, while no pause is near one: machines pause too.
    server = stuck(threads=threads, slow=1.0, timeout=1.2)
    assert server.get(f"/streaming?s={0.2 * SLOWNESS}").body == b"piece " * 8
    assert not server.log.events("request_slow")


@pytest.mark.parametrize("threads", [1, 4])
def test_time_in_which_everything_stood_still_is_no_requests(
    serve: ServerFactory, gate: Gate, threads: int
) -> None:
    limits = {"slow": 0, "timeout": 1.5 * SLOWNESS}
    server = serve("probe:app", threads=threads, settings={"requests": limits})
    with ThreadPoolExecutor(1) as client:
        mark = server.mark()
        answer = client.submit(server.get, f"/gate?path={gate.path}")
        server.wait_for_log("at the gate", after=mark)
        everybody = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
        for process in everybody:
            process.suspend()
        time.sleep(JUMP_S + 2 * SLOWNESS)  # the length of the stand-still
        for process in reversed(everybody):
            process.resume()
        # The master has looked at it, and let it be.
        assert float(server.wait_for_event("clock_jumped", after=mark)["by_s"]) > JUMP_S
        assert server.command("status").returncode == 0
        gate.open()
        assert answer.result().status == 200
    assert not server.log.events("request_timeout")


@pytest.mark.parametrize("threads", [1, 4])
def test_what_has_begun_to_answer_is_cut(stuck: Start, threads: int) -> None:
    server = stuck(threads=threads, kill_after=0)
    mark = server.mark()
    # Waiting for the rest, a thread of a pool cannot be interrupted; computing it can.
    way = "starts_then_hangs" if threads == 1 else "starts_then_spins"
    with pytest.raises(ConnectionEndedError):
        server.get(f"/{way}")
    server.wait_for_event("request_interrupted", after=mark)
    assert server.get("/quick").body == b"done"


@pytest.mark.parametrize("threads", [1, 4])
def test_a_request_that_knows_it_is_slow_gets_its_time(stuck: Start, threads: int) -> None:
    server = stuck(threads=threads)
    assert server.get(f"/extended?s={1.5 * SLOWNESS}").body == b"done"
    assert not server.log.events("request_slow")
    assert not server.log.events("request_timeout")


def test_without_limits_nothing_is_said(stuck: Start) -> None:
    server = stuck(slow=0, timeout=0)
    assert server.get(f"/quick?s={0.5 * SLOWNESS}").body == b"done"
    assert not server.log.events("request_slow")


def test_a_stopped_worker_is_told_without_a_stack(stuck: Start) -> None:
    server = stuck(timeout=0)
    (worker,) = server.workers()
    mark = server.mark()
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(server.get, f"/quick?s={0.1 * SLOWNESS}")
        eventually(lambda: psutil.Process(worker).num_ctx_switches().voluntary > 0, "the worker's work")
        time.sleep(0.03 * SLOWNESS)  # into the request
        os.kill(worker, signal.SIGSTOP)
        try:
            told = server.wait_for_event("request_slow", after=mark)
        finally:
            os.kill(worker, signal.SIGCONT)
        assert told["request"].startswith("GET /quick")
        assert answer.result().body == b"done"


def test_the_master_wakes_no_more_than_it_must(stuck: Start) -> None:
    server = stuck(slow=1.0, timeout=0)
    before = psutil.Process(server.pid).num_ctx_switches().voluntary
    time.sleep(3.0)  # the absence of wake-ups is what is measured
    assert psutil.Process(server.pid).num_ctx_switches().voluntary - before <= 10


@pytest.mark.parametrize("threads", [1, 16])
def test_the_next_request_never_pays_for_the_last_one(stuck: Start, threads: int, measured: Measured) -> None:
    """Requests that take about as long as they may: each is answered in one of two ways, and nobody else is hit."""
    limit = 0.1 * SLOWNESS
    workers = 4 if threads == 1 else 1
    server = stuck(threads=threads, workers=workers, slow=0, timeout=0.1, kill_after=60)
    before = set(server.workers())
    statuses: list[tuple[int, bytes]] = []
    end = time.monotonic() + 12

    def client() -> None:
        while time.monotonic() < end:
            one_connection()

    def one_connection() -> None:
        with server.connect() as connection:
            while time.monotonic() < end:
                answer = connection.get(f"/about?s={limit}")
                statuses.append((answer.status, answer.body))
                if (
                    answer.closes
                ):  # its thread had no time to answer within a moment, on a machine that is very busy
                    break
                quick = connection.get("/quick")
                assert (quick.status, quick.body) == (200, b"done")

    threads_ = [threading.Thread(target=client) for _ in range(16 if threads > 1 else workers)]
    for each in threads_:
        each.start()
    for each in threads_:
        each.join()
    kinds = {status: statuses.count(status) for status in set(statuses)}
    measured(f"{len(statuses)} requests: {kinds}")
    # The framework's own answer if it came while the application was on its way in or out, the application's otherwise.
    assert set(kinds) <= {(200, b"done"), (503, b"interrupted"), (503, b"503 Service Unavailable\n")}
    assert kinds[200, b"done"] > 0
    assert kinds[503, b"interrupted"] > 0
    assert set(server.workers()) == before
    for event in ("internal_error", "handler_failed", "worker_crashed", "request_failed", "request_stuck"):
        assert not server.log.events(event)
