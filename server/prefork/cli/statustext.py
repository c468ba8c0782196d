"""A status in words: lines above the workers, rows for the workers, lines below.

Owns: what `prefork status` says. Pure. Runs in: cli. Must not know: colours, where the lines go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prefork.cli.text import age, latency, one_line, size
from prefork.ipc.histogram import BUCKETS, quantile
from prefork.ipc.status import CountersStatus, GenerationStatus, ReloadStatus, Status, WorkerStatus
from prefork.observe.memory import Memory

TITLES = (
    *("WORKER", "PID", "GEN", "STATE", "AGE", "BUSY", "REQUESTS", "CONN", "CPU", "RESTARTS"),
    *("RSS", "PRIVATE", "SHARED"),
)
STATE = TITLES.index("STATE")
"""The column that holds words."""

_DISPENSABLE = ("RESTARTS", "CPU", "CONN", "AGE", "RSS", "SHARED", "PID", "GEN")
"""What a narrow screen can do without, this first."""

_LONG_S, _MOST = 1.0, 10
"""Requests that run for at least so long are named, at most so many."""


def above(status: Status) -> Iterator[str]:
    """What there is to say of the server, each in a line `name: value`."""
    name = one_line(status.name)
    yield f"{name}: {status.state}, pid {status.pid}, prefork {status.version}, up {age(status.uptime_s)}"
    yield f"listening on {', '.join(map(one_line, status.listeners))}"
    if status.draining_since_s is not None:
        yield f"draining: for {age(status.draining_since_s)}"
    if status.last_reload is not None:
        yield _reload(status.last_reload)
    yield from map(_generation, status.generations)
    if status.counters is not None and status.counters.connections:
        yield from _counters(status.counters)
    for queue in status.queues:
        limit = f" of {queue.limit}" if queue.limit else ""
        waiting = f"{queue.length} waiting, highest {queue.highest}{limit}"
        yield f"queue of {one_line(queue.address)}: {waiting}"
    if not status.workers:
        yield f"workers: none ({status.workers_wanted} wanted)"


def _reload(last: ReloadStatus) -> str:
    failed = one_line(f"failed ({last.stage}): {last.error}")
    how = f"generation {last.generation} serves" if last.ok else failed
    return f"last {last.what} {age(last.ago_s)} ago: {how}"


def _generation(generation: GenerationStatus) -> str:
    parked = generation.parked_for_s
    details = [
        f"zygote {generation.zygote_pid} {generation.zygote}",
        "preloaded" if generation.preloaded else "not preloaded",
        *([f"kept for {age(parked)} more"] if parked is not None else []),
    ]
    return f"generation {generation.number}: {generation.state}, {', '.join(details)}"


def _counters(counted: CountersStatus) -> Iterator[str]:
    """Since the start."""
    classes = [f"{digit}xx {count}" for digit, count in enumerate(counted.by_class, 1) if count]
    in_classes = f" ({', '.join(classes)})" if classes else ""
    parts = [f"{counted.requests} answered{in_classes}"]
    parts += [f"{counted.exceptions} exceptions"] if counted.exceptions else []
    parts += [f"{counted.shed} turned away"] if counted.shed else []
    yield f"requests: {', '.join(parts)}"
    times = [
        f"{name} {latency(quantile(counts, q))}"
        for name, counts, q in (
            ("p50", counted.duration, 0.5),
            ("p99", counted.duration, 0.99),
            ("waited p99", counted.queued, 0.99),
        )
        if len(counts) == BUCKETS and any(counts)
    ]
    if times:
        yield f"times: {', '.join(times)}"
    yield (
        f"traffic: {counted.connections} connections, {size(counted.bytes_in)} in, {size(counted.bytes_out)} out"
    )


def row(worker: WorkerStatus, memory: Memory | None) -> tuple[str, ...]:
    """The cells of one worker, in the order of `TITLES`."""
    return (
        str(worker.worker),
        _number(worker.pid),
        str(worker.generation),
        worker.state + (f" ({one_line(worker.reason)})" if worker.reason else ""),
        "-" if worker.age_s is None else age(worker.age_s),
        f"{worker.busy}/{worker.threads}" if worker.threads else "-",
        _number(worker.requests),
        str(worker.connections),
        "-" if worker.cpu_s is None else age(worker.cpu_s),
        str(worker.restarts),
        *(
            (size(memory.rss), size(memory.private), size(memory.shared))
            if memory is not None
            else ("-", "-", "-")
        ),
    )


def rows(status: Status, memory: Mapping[int, Memory | None]) -> list[tuple[str, ...]]:
    """Of all workers."""
    return [row(worker, memory.get(worker.pid or 0)) for worker in status.workers]


def columns(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Which columns of these rows (titles among them) a screen of `width` has room for, with two spaces between."""
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    shown = list(range(len(widths)))
    for title in _DISPENSABLE:
        if sum(widths[index] for index in shown) - 2 <= width:
            break
        shown.remove(TITLES.index(title))
    return shown


def below(status: Status) -> Iterator[str]:
    """Requests that run for long."""
    found = [(request, worker) for worker in status.workers for request in worker.running]
    found = [pair for pair in found if pair[0].elapsed_s >= _LONG_S]
    found.sort(key=lambda pair: -pair[0].elapsed_s)
    if not found:
        return
    yield "requests that run for long:"
    for request, worker in found[:_MOST]:
        whose = f", from {one_line(request.client)}" if request.client else ""
        where = f"worker {worker.worker}, thread {request.thread}"
        yield f"  {age(request.elapsed_s)}  {one_line(request.request)}  {where}{whose}"
    if len(found) > _MOST:
        yield f"  and {len(found) - _MOST} more"


def _number(number: int | None) -> str:
    return "-" if number is None else str(number)
