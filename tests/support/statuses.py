"""Statuses as a master would give them, for tests without one."""

from __future__ import annotations

from typing import Any

from prefork.ipc.histogram import BOUNDS_S, BUCKETS, bucket
from prefork.ipc.status import (
    CountersStatus,
    GenerationStatus,
    QueueStatus,
    RequestStatus,
    Status,
    WorkerStatus,
)


def histogram(*durations_s: float) -> list[int]:
    """Counts of these durations."""
    counts = [0] * BUCKETS
    for each in durations_s:
        counts[bucket(int(each * 1e9))] += 1
    return counts


def running(elapsed_s: float, line: str = "GET / HTTP/1.1", thread: int = 1) -> RequestStatus:
    """A request that runs."""
    return RequestStatus(thread=thread, request=line, client="127.0.0.1", elapsed_s=elapsed_s, ident=1)


def worker(number: int = 1, **values: Any) -> WorkerStatus:
    """One that accepts, unless `values` say otherwise."""
    defaults: dict[str, Any] = {
        "id": number,
        "pid": 100 + number,
        "generation": 1,
        "state": "accepting",
        "age_s": 5.0,
        "threads": 2,
    }
    return WorkerStatus(worker=number, **{**defaults, **values})


def status(**values: Any) -> Status:
    """A server with one idle worker, unless `values` say otherwise."""
    defaults: dict[str, Any] = {
        "name": "shop",
        "pid": 99,
        "version": "1.2.3",
        "uptime_s": 100.0,
        "state": "serving",
        "generation": 1,
        "workers_wanted": 1,
        "generations": [
            GenerationStatus(number=1, state="active", zygote_pid=98, zygote="ready", preloaded=True)
        ],
        "workers": [worker()],
        "listeners": ["127.0.0.1:8000"],
        "queues": [QueueStatus(address="127.0.0.1:8000", length=3, highest=7, limit=128)],
        "counters": CountersStatus(by_class=[0] * 5, duration=histogram(), queued=histogram()),
        "bounds_s": list(BOUNDS_S),
    }
    return Status(**{**defaults, **values})
