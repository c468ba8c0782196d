"""What happened between two answers of a server.

Owns: the arithmetic. Counters only grow, so a difference is what was counted in between, whoever else asks the server. Pure.
Runs in: cli. Must not know: drawing, where answers come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prefork.ipc.histogram import BUCKETS, difference, quantile
from prefork.ipc.status import CountersStatus, Status, WorkerStatus
from prefork.observe.memory import Memory


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer, and what was measured beside it."""

    status: Status
    memory: Mapping[int, Memory] = field(default_factory=dict)
    """By process number; whoever is missing could not be measured."""
    at_s: float = 0.0
    """When it came; a time of the reader's clock."""


@dataclass(frozen=True, slots=True)
class WorkerRates:
    """Of one worker. None: not known."""

    requests_per_s: float | None = None
    p99_s: float | None = None
    cpu: float | None = None
    """1.0 is one processor."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Of a server. Quantiles are None while nothing was answered."""

    interval_s: float
    requests_per_s: float
    p50_s: float | None
    p99_s: float | None
    queued_p99_s: float | None
    """How long requests waited before a thread took them."""
    client_errors: float
    """Share of answers 4xx."""
    server_errors: float
    """Share of answers 5xx."""
    exceptions_per_s: float
    shed_per_s: float
    bytes_in_per_s: float
    bytes_out_per_s: float
    cpu: float
    """Of all workers; 1.0 is one processor."""
    workers: Mapping[int, WorkerRates]
    """By `WorkerStatus.id`."""


def rates(before: Sample, after: Sample) -> Rates | None:
    """None if the two are not of one server's life, or one does not count."""
    interval_s = _interval_s(before, after)
    earlier, later = before.status.counters, after.status.counters
    if interval_s is None or earlier is None or later is None:
        return None
    counted = max(0, later.requests - earlier.requests)
    classes = difference(later.by_class, earlier.by_class) if later.by_class else [0] * 5
    answers = max(1, sum(classes))
    known = {worker.id: worker for worker in before.status.workers}
    of_workers = {
        worker.id: _of_worker(known[worker.id], worker, interval_s)
        for worker in after.status.workers
        if worker.id in known
    }

    def per_second(name: str) -> float:
        return float(max(0, getattr(later, name) - getattr(earlier, name)) / interval_s)

    return Rates(
        interval_s=interval_s,
        requests_per_s=counted / interval_s,
        p50_s=_quantile(earlier.duration, later.duration, 0.5),
        p99_s=_quantile(earlier.duration, later.duration, 0.99),
        queued_p99_s=_quantile(earlier.queued, later.queued, 0.99),
        client_errors=classes[3] / answers,
        server_errors=classes[4] / answers,
        exceptions_per_s=per_second("exceptions"),
        shed_per_s=per_second("shed"),
        bytes_in_per_s=per_second("bytes_in"),
        bytes_out_per_s=per_second("bytes_out"),
        cpu=max(0.0, after.status.cpu_s - before.status.cpu_s) / interval_s,
        workers=of_workers,
    )


def _interval_s(before: Sample, after: Sample) -> float | None:
    """By the server's own clock: an answer may have been long on its way."""
    if before.status.pid != after.status.pid:
        return None
    interval_s = after.status.uptime_s - before.status.uptime_s
    return interval_s if interval_s > 0 else None  # less: it has executed itself anew


def _of_worker(before: WorkerStatus, after: WorkerStatus, interval_s: float) -> WorkerRates:
    if before.pid != after.pid:
        return WorkerRates()
    cpu = None
    if before.cpu_s is not None and after.cpu_s is not None:
        cpu = max(0.0, after.cpu_s - before.cpu_s) / interval_s
    earlier, later = before.counters or CountersStatus(), after.counters
    if later is None:
        if before.requests is None or after.requests is None:
            return WorkerRates(cpu=cpu)
        return WorkerRates(max(0, after.requests - before.requests) / interval_s, cpu=cpu)
    return WorkerRates(
        requests_per_s=max(0, later.requests - earlier.requests) / interval_s,
        p99_s=_quantile(earlier.duration, later.duration, 0.99),
        cpu=cpu,
    )


def _quantile(earlier: list[int], later: list[int], q: float) -> float | None:
    if len(later) != BUCKETS or len(earlier) not in (0, BUCKETS):
        return None  # a server of another release counts otherwise
    counts = difference(later, earlier)
    return quantile(counts, q) if any(counts) else None
