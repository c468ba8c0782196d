"""Counters, queues and metrics of a running server: what is seen from outside."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import processes
from support.counts import metrics_of, status_of, value_of
from support.deadline import SLOWNESS, eventually
from support.http import encode
from support.server import ServerFactory


@pytest.mark.parametrize("preload", ["always", "never"])
def test_what_the_application_counts_outlives_its_workers(serve: ServerFactory, preload: str) -> None:
    server = serve("counting:app", workers=2, settings={"app": {"preload": preload}})
    for size in (1, 5, 50, 500):
        assert server.get(f"/size/{size}").status == 200
    server.get("/level/3")
    assert value_of(server, "test_calls") == 5
    pids = {sample.labels: sample.value for sample in metrics_of(server)["test_pid"].samples}
    assert pids.keys() <= {("1",), ("2",)}
    mark = server.mark()
    victim = next(iter(server.workers()))
    os.kill(victim, 9)
    server.wait_for_event("worker_exited", after=mark, pid=victim)
    server.wait_for_workers(2)
    assert server.command("reload", "--wait").returncode == 0
    server.get("/")
    found = metrics_of(server)
    assert value_of(server, "test_calls") == 6
    (sizes,) = found["test_sizes"].samples
    assert (sizes.labels, sizes.value, sizes.buckets) == (("asked",), 556, (1, 1, 1, 1))
    assert value_of(server, "test_level") == 3
    imports = value_of(server, "test_imports")
    assert imports == 2 if preload == "always" else imports == 5  # two, one that was killed, two


def test_too_many_series_are_told_about_and_harm_nobody(serve: ServerFactory) -> None:
    server = serve("counting:app")
    mark = server.mark()
    assert server.get("/many").status == 200
    told = server.wait_for_event("metrics_full", after=mark)
    assert told["metric"] == "test_many"
    assert server.get("/").status == 200
    assert value_of(server, "test_calls") == 2


def test_the_time_that_requests_waited_is_counted(serve: ServerFactory) -> None:
    server = serve("stuck:app", settings={"requests": {"slow": 0}})
    wait_s = 0.3 * SLOWNESS
    with server.connect() as first, server.connect() as second:
        first.send(encode("GET", f"/quick?s={wait_s}"))
        time.sleep(0.1 * wait_s)  # it has been taken
        second.send(encode("GET", "/quick"))
        assert second.read_response().status == first.read_response().status == 200
    status = status_of(server)
    counters = status.counters
    assert counters is not None
    assert counters.requests == sum(counters.queued) == sum(counters.duration) == 2
    # The kernel's clock goes in ticks of up to 10 ms.
    assert 0.8 * wait_s < counters.queued_s
    long = [bound for bound, count in zip(status.bounds_s, counters.duration, strict=False) if count]
    assert long[-1] >= wait_s


def test_queues_and_a_full_one(serve: ServerFactory, tmp_path: Path) -> None:
    """A backlog of 3 takes 4 (listen(2) on Linux); unix sockets are counted as TCP is."""
    path = tmp_path / "q.sock"
    listen = ["127.0.0.1:0", f"unix:{path}"]
    server = serve(
        "stuck:app", settings={"server": {"listen": listen, "backlog": 3}, "requests": {"slow": 0.5}}
    )
    mark = server.mark()
    with ExitStack() as stack:
        busy = stack.enter_context(server.connect())
        busy.send(encode("GET", f"/quick?s={3 * SLOWNESS}"))
        eventually(lambda: any(worker.busy for worker in status_of(server).workers), "a busy worker")
        for _ in range(8):
            one = stack.enter_context(socket.socket(socket.AF_UNIX))
            one.setblocking(False)
            one.connect_ex(str(path))
        tcp, unix = status_of(server).queues
        assert (unix.address, unix.limit) == (f"unix:{path}", 3)
        assert unix.length == unix.highest == 4
        assert (tcp.length, tcp.limit) == (0, 3)
        told = server.wait_for_event("listen_queue_full", after=mark)
        assert (told["address"], told["waiting"], told["limit"]) == (f"unix:{path}", "4", "3")
        assert busy.read_response().status == 200

    def empty() -> bool:
        return not any(queue.length for queue in status_of(server).queues)

    eventually(empty, "those who waited to be accepted")
    assert status_of(server).queues[1].highest == 4


@pytest.mark.parametrize("alike", [True, False], ids=["the same layout", "another layout"])
def test_an_upgrade_goes_on_counting(serve: ServerFactory, alike: bool) -> None:
    """Another layout: as if the program before had been a release that counts in another form."""
    server = serve("counting:app", workers=2)
    for _ in range(20):
        assert server.get("/").status == 200
    assert server.command("reload", "--wait").returncode == 0
    before = status_of(server)
    if not alike:
        for number, name in processes.descriptors(server.pid).items():
            if "prefork-" in name and name.split()[0].endswith(("board", "metrics")):
                fd = os.open(f"/proc/{server.pid}/fd/{number}", os.O_RDWR)
                os.pwrite(fd, b"\x63", 8)  # the version
                os.close(fd)
    done = server.command("upgrade")
    assert done.returncode == 0, done.stderr
    for _ in range(10):
        assert server.get("/").status == 200
    after = status_of(server)
    assert before.counters is not None
    assert after.counters is not None
    assert (before.counters.requests, after.counters.requests) == (20, 30)
    assert sum(after.counters.duration) == 30
    assert [each.generation for each in after.history] == [3, 2]
    assert after.uptime_s > before.uptime_s
    assert value_of(server, "test_calls") == (30 if alike else 10)
    # Workers that the old zygote makes from now on know nothing of the new layout, and disturb nobody.
    assert server.command("rollback", "--wait").returncode == 0
    assert server.get("/").status == 200
