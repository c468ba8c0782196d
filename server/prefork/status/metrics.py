"""What /metrics says, by the conventions of Prometheus: base units in names, `_total` for what only grows.

Owns: names, labels and meanings of prefork's own metrics. Pure. Runs in: status process. Must not know: how they are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric

from prefork.ipc.status import CountersStatus, Status, WorkerStatus
from prefork.observe.memory import Memory
from prefork.status.readiness import unready

_WORKER_STATES = ("booting", "accepting", "draining", "stopping", "hung", "lost", "killed")

_STATES = ("starting", "serving", "reloading", "rolling back", "paused", "draining", "stopping")

_SMALLEST_S = 0.0005
_STEP = 4
"""Of the bounds there are, four to an octave, one to an octave is told, from half a millisecond on."""


def collect(status: Status | None, memory: Mapping[int, Memory | None], wall_s: float) -> Iterator[Metric]:
    """All metrics; of a master that does not answer, that it does not. `wall_s`: the wall clock."""
    yield GaugeMetricFamily(
        "prefork_up", "Whether the master answers the status process.", int(status is not None)
    )
    if status is None:
        return
    yield from _server(status, wall_s)
    yield from _requests(status.counters or CountersStatus(), status.bounds_s)
    yield from _workers(status)
    yield from _processes(status.workers, memory)
    yield from _queues(status)


def _server(status: Status, wall_s: float) -> Iterator[Metric]:
    info = {"version": status.version, "name": status.name}
    yield InfoMetricFamily("prefork", "The release of prefork, and the name of this server.", info)
    # Whole seconds: the two clocks are not read in the same moment.
    started = round(wall_s - status.uptime_s)
    yield GaugeMetricFamily("prefork_start_time_seconds", "When the server began, since 1970.", started)
    yield GaugeMetricFamily(
        "prefork_ready", "Whether /readyz says that requests may come.", int(unready(status) is None)
    )
    state = GaugeMetricFamily("prefork_state", "1 for the state that the server is in.", labels=["state"])
    for each in _STATES:
        state.add_metric([each.replace(" ", "_")], int(status.state == each))
    yield state
    yield GaugeMetricFamily(
        "prefork_generation", "Number of the generation that serves; 0: none yet.", status.generation or 0
    )
    reloads = CounterMetricFamily(
        "prefork_reloads", "Reloads and rollbacks, by how they ended.", labels=["result"]
    )
    for result in ("done", "failed", "rolled_back", "rollback_failed"):
        reloads.add_metric([result], status.reloads.get(result, 0))
    yield reloads


def _requests(counters: CountersStatus, bounds_s: Sequence[float]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "prefork_requests", "Requests answered, by the class of the status code.", labels=["code_class"]
    )
    for index, count in enumerate(counters.by_class or [0] * 5):
        requests.add_metric([f"{index + 1}xx"], count)
    yield requests
    yield _histogram(
        "prefork_request_duration_seconds",
        "Time from a request's turn to the end of its response.",
        counters.duration,
        bounds_s,
        counters.busy_s,
    )
    yield _histogram(
        "prefork_request_queue_seconds",
        "Time that requests waited for their turn, in the kernel and in the worker.",
        counters.queued,
        bounds_s,
        counters.queued_s,
    )
    for name, text, value in (
        ("prefork_response_bytes", "Bytes of response bodies.", counters.bytes_out),
        ("prefork_request_bytes", "Bytes of request bodies.", counters.bytes_in),
        ("prefork_exceptions", "Exceptions that the application raised.", counters.exceptions),
        ("prefork_requests_shed", "Requests turned away for they had waited too long.", counters.shed),
        ("prefork_connections_accepted", "Connections accepted.", counters.connections),
    ):
        yield CounterMetricFamily(name, text, value)


def _histogram(
    name: str, text: str, counts: Sequence[int], bounds_s: Sequence[float], sum_s: float
) -> Metric:
    family = HistogramMetricFamily(name, text)
    cumulated = list(accumulate(counts)) or [0] * (len(bounds_s) + 1)
    buckets = [
        (repr(round(bound, 9)), cumulated[index])
        for index, bound in enumerate(bounds_s)
        if (len(bounds_s) - 1 - index) % _STEP == 0 and bound >= _SMALLEST_S
    ]
    buckets.append(("+Inf", cumulated[-1]))
    family.add_metric([], buckets, sum_s)
    return family


def _workers(status: Status) -> Iterator[Metric]:
    found = [worker.state for worker in status.workers]
    workers = GaugeMetricFamily("prefork_workers", "Worker processes, by state.", labels=["state"])
    for state in dict.fromkeys((*_WORKER_STATES, *found)):
        workers.add_metric([state], found.count(state))
    yield workers
    yield GaugeMetricFamily(
        "prefork_workers_wanted", "Worker processes there should be.", status.workers_wanted
    )
    threads = sum(worker.threads for worker in status.workers)
    busy = sum(worker.busy for worker in status.workers)
    yield GaugeMetricFamily("prefork_worker_threads", "Requests that can run at once.", threads)
    yield GaugeMetricFamily("prefork_worker_threads_busy", "Requests that run.", busy)
    oldest_s = max((each.elapsed_s for worker in status.workers for each in worker.running), default=0.0)
    yield GaugeMetricFamily(
        "prefork_request_oldest_seconds", "How long the request has run that runs for the longest.", oldest_s
    )
    connections = sum(worker.connections for worker in status.workers)
    yield GaugeMetricFamily("prefork_connections", "Open connections.", connections)
    restarts = CounterMetricFamily(
        "prefork_worker_restarts", "Ends of worker processes, by reason.", labels=["reason"]
    )
    for reason in dict.fromkeys(("crashed", "killed", "boot_failed", *sorted(status.exits))):
        restarts.add_metric([reason], status.exits.get(reason, 0))
    yield restarts


def _processes(workers: Sequence[WorkerStatus], memory: Mapping[int, Memory | None]) -> Iterator[Metric]:
    """By the number of the worker; two processes with the same one, of which one leaves, are added up."""
    size = GaugeMetricFamily(
        "prefork_worker_memory_bytes",
        "Memory of a worker: resident, of its own, shared with others.",
        labels=["worker", "kind"],
    )
    cpu = CounterMetricFamily(
        "prefork_worker_cpu_seconds", "Processor time of a worker, user and system.", labels=["worker"]
    )
    sizes: dict[tuple[str, str], int] = {}
    times: dict[str, float] = {}
    for worker in workers:
        number = str(worker.worker)
        found = memory.get(worker.pid or 0)
        for kind in ("rss", "private", "shared") if found is not None else ():
            value = getattr(found, kind)
            if value is not None:
                sizes[number, kind] = sizes.get((number, kind), 0) + value
        if worker.cpu_s is not None:
            times[number] = times.get(number, 0.0) + worker.cpu_s
    for labels, value in sizes.items():
        size.add_metric(labels, value)
    for number, value_s in times.items():
        cpu.add_metric([number], value_s)
    yield size
    yield cpu


def _queues(status: Status) -> Iterator[Metric]:
    length = GaugeMetricFamily(
        "prefork_listen_queue", "Connections that wait to be accepted.", labels=["address"]
    )
    highest = GaugeMetricFamily(
        "prefork_listen_queue_highest", "The most that were seen to wait.", labels=["address"]
    )
    limit = GaugeMetricFamily(
        "prefork_listen_queue_limit", "Where the kernel turns clients away.", labels=["address"]
    )
    for queue in status.queues:
        length.add_metric([queue.address], queue.length)
        highest.add_metric([queue.address], queue.highest)
        limit.add_metric([queue.address], queue.limit)
    yield from (length, highest, limit)
