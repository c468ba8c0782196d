"""Statuses as a server might give them, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from prefork.cli.top.rates import Sample
from prefork.ipc.histogram import BUCKETS, bucket
from prefork.ipc.status import CountersStatus, QueueStatus, RequestStatus, Status, WorkerStatus
from prefork.observe.memory import Memory

MIB = 1 << 20


class Clock:
    """Stands still until a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def histogram(count: int, duration_s: float) -> list[int]:
    """So many of the same duration."""
    counts = [0] * BUCKETS
    counts[bucket(round(duration_s * 1e9))] = count
    return counts


def counters(requests: int = 0, *, failed: int = 0, duration_s: float = 0.003, **more: Any) -> CountersStatus:
    """What was counted: all answers are 200 but those that `failed` with 500."""
    return CountersStatus(
        requests=requests,
        by_class=[0, requests - failed, 0, 0, failed],
        duration=histogram(requests, duration_s),
        **more,
    )


def running(line: str = "GET /slow HTTP/1.1", elapsed_s: float = 1.0, **more: Any) -> RequestStatus:
    """A request that runs."""
    values = {"thread": 1, "client": "192.0.2.7", "ident": 0x7F01, **more}
    return RequestStatus(request=line, elapsed_s=elapsed_s, **values)


def worker(number: int, requests: int = 0, **more: Any) -> WorkerStatus:
    """A worker that accepts."""
    requests_running = more.pop("running", [])
    values: dict[str, Any] = {
        "id": number,
        "pid": 4700 + number,
        "generation": 2,
        "state": "accepting",
        "age_s": 3700.0,
        "threads": 4,
        "connections": 12,
        "cpu_s": 0.0,
        "counters": counters(requests),
        **more,
    }
    return WorkerStatus(
        worker=number, requests=requests, busy=len(requests_running), running=requests_running, **values
    )


def server(*workers: WorkerStatus, uptime_s: float = 100.0, **more: Any) -> Status:
    """A server with these workers; its counters are the sum of theirs."""
    answered = sum(each.requests or 0 for each in workers)
    values: dict[str, Any] = {
        "name": "shop",
        "pid": 4700,
        "version": "1.0",
        "state": "serving",
        "generation": 2,
        "workers_wanted": len(workers),
        "generations": [],
        "listeners": ["127.0.0.1:8000"],
        "counters": counters(answered),
        "queues": [QueueStatus(address="127.0.0.1:8000", length=0, highest=12, limit=2048)],
        **more,
    }
    return Status(uptime_s=uptime_s, workers=list(workers), **values)


def sample(status: Status, at_s: float = 0.0) -> Sample:
    """With 10 MiB of its own for worker 1, 20 for worker 2, and so on."""
    memory = {
        each.pid: Memory(60 * MIB, each.worker * 10 * MIB, (60 - each.worker * 10) * MIB)
        for each in status.workers
        if each.pid is not None
    }
    return Sample(status, memory, at_s)
