"""What a statsd server is told, and that nobody has to listen."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from prefork.ipc.histogram import BUCKETS, bucket
from prefork.ipc.status import CountersStatus, QueueStatus, Status, WorkerStatus
from prefork.master.journal import Journal
from prefork.master.statsd import Statsd, resident_memory
from prefork.master.statsdlines import MAX_DATAGRAM, datagrams
from prefork.observe.log import Log
from prefork.settings.statsd import StatsdAddress, StatsdSettings, Tags
from support.serving import FakeClock


def status(requests: int = 0, duration_ns: int = 0, **changes: Any) -> Status:
    histogram = [0] * BUCKETS
    histogram[bucket(duration_ns)] = requests
    counters = CountersStatus(
        requests=requests, by_class=[0, requests, 0, 0, 0], bytes_out=10 * requests, duration=histogram
    )
    worker = WorkerStatus(
        worker=1,
        id=1,
        pid=os.getpid(),
        generation=1,
        state="accepting",
        age_s=1.0,
        threads=4,
        busy=2,
        connections=3,
    )
    given: dict[str, Any] = {
        "name": "shop",
        "pid": 1,
        "version": "1",
        "uptime_s": 1.0,
        "state": "serving",
        "generation": 1,
        "workers_wanted": 2,
        "generations": [],
        "workers": [worker],
        "listeners": [],
        "queues": [QueueStatus(address="a", length=5, highest=9, limit=10)],
        "counters": counters,
    }
    return Status(**{**given, **changes})


def told(before: Status | None, now: Status, **options: Any) -> dict[str, str]:
    settings = {"prefix": "shop", "tags": {}, **options}
    data = b"\n".join(datagrams(before, now, 1 << 20, settings["prefix"], settings["tags"])).decode()
    return dict(line.split(":", 1) for line in data.split("\n"))


def test_counters_are_what_came_since_the_last_push() -> None:
    found = told(status(100, 1_000_000), status(150, 1_000_000))
    assert found["shop.requests"] == "50|c"
    assert found["shop.responses.2xx"] == "50|c"
    assert found["shop.bytes_out"] == "500|c"
    assert 0.8 <= float(found["shop.request.p99"].removesuffix("|g")) <= 1.2
    assert "shop.queued.p99" not in found


def test_the_first_push_has_gauges_only() -> None:
    found = told(None, status(100))
    assert found["shop.workers"] == "1|g"
    assert found["shop.workers.wanted"] == "2|g"
    assert found["shop.threads"] == "4|g"
    assert found["shop.threads.busy"] == "2|g"
    assert found["shop.queue"] == "5|g"
    assert found["shop.open"] == "3|g"
    assert found["shop.memory"] == f"{1 << 20}|g"
    assert found["shop.ready"] == "1|g"
    assert "shop.requests" not in found


def test_a_paused_server_is_not_ready_and_counters_never_go_down() -> None:
    found = told(status(100), status(10, state="paused"))
    assert found["shop.ready"] == "0|g"
    assert found["shop.requests"] == "10|c"


def test_tags_and_prefix() -> None:
    found = told(None, status(), prefix="", tags={"env": "live", "canary": ""})
    assert found["workers"] == "1|g|#env:live,canary"


def test_datagrams_are_small_and_hold_whole_lines() -> None:
    tags = {f"name{number}": "v" * 60 for number in range(5)}
    found = list(datagrams(status(1), status(2, 1000), 0, "p" * 60, tags))
    assert len(found) > 1
    assert all(len(each) <= MAX_DATAGRAM for each in found)
    assert all(line.count(b"|") == 2 for each in found for line in each.split(b"\n"))


def pushing(address: str, clock: FakeClock, log_fd: int = 2) -> Statsd:
    settings = StatsdSettings(address=address, interval=10.0)
    return Statsd(lambda: settings, status, Journal(Log(log_fd, "info")), clock, memory_of=lambda _pids: 0)


def test_pushes_come_when_they_are_due() -> None:
    clock = FakeClock()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        statsd = pushing(f"127.0.0.1:{server.getsockname()[1]}", clock)
        assert statsd.deadline == clock.now
        statsd.turn()
        assert b"prefork.workers:1|g" in server.recv(4096)
        assert statsd.deadline == clock.now + 10.0
        clock.now += 9.0
        statsd.turn()
        with pytest.raises(BlockingIOError):
            server.recv(4096)
        clock.now += 100.0
        statsd.turn()
        statsd.turn()
        assert b"prefork.requests:0|c" in server.recv(4096)
        with pytest.raises(BlockingIOError):
            server.recv(4096)


def test_nobody_listens(tmp_path: Path) -> None:
    clock = FakeClock()
    fd = os.memfd_create("log")
    statsd = pushing(f"unix:{tmp_path}/statsd", clock, fd)
    for _ in range(3):
        statsd.turn()
        clock.now += 10.0
    text = os.pread(fd, 10_000, 0).decode()
    os.close(fd)
    assert text.count("event=statsd_unreachable") == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"{tmp_path}/statsd")
        statsd.turn()
        assert b"prefork.workers" in server.recv(4096)


def test_without_an_address_there_is_nothing_to_wake_up_for() -> None:
    statsd = pushing("", FakeClock())
    statsd.turn()
    assert statsd.deadline is None


def test_memory() -> None:
    assert resident_memory([os.getpid()]) > 1 << 20
    assert resident_memory([1 << 30]) == 0


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("localhost:8125", "127.0.0.1:8125"),
        ("10.0.0.1:8125", "10.0.0.1:8125"),
        ("[::1]:8125", "[::1]:8125"),
        ("unix:/run/statsd.sock", "unix:/run/statsd.sock"),
    ],
)
def test_addresses(text: str, kept: str) -> None:
    assert StatsdAddress().convert(text, "/") == kept


@pytest.mark.parametrize("text", ["statsd.example.org:8125", "10.0.0.1", "10.0.0.1:0", 8125])
def test_wrong_addresses(text: object) -> None:
    with pytest.raises(ValueError, match="must"):
        StatsdAddress().convert(text, "/")


@pytest.mark.parametrize(
    "tags", ["x", {"a": 1}, {"a b": "c"}, {"a": "b|c"}, {"a": "b,c"}, {"": "x"}, {"a:b": "c"}]
)
def test_wrong_tags(tags: object) -> None:
    with pytest.raises(ValueError):
        Tags().convert(tags, "/")
