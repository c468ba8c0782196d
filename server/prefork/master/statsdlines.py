"""What a statsd server is told: two looks at the server as datagrams.

Owns: the names, their types, and how many fit a datagram. Pure. Runs in: master. Must not know: sockets, clocks.

    <prefix>.requests            c    answered since the last push; .responses.2xx and so on by class
    <prefix>.exceptions          c    raised by the application
    <prefix>.shed                c    turned away by queue_timeout
    <prefix>.connections         c    accepted
    <prefix>.bytes_in, bytes_out c    of bodies
    <prefix>.request.p50, p99    g    service time of those requests, milliseconds; nothing if there were none
    <prefix>.queued.p50, p99     g    time that they had waited, milliseconds
    <prefix>.workers             g    that accept; .workers.wanted, .workers.busy: those that run a request
    <prefix>.threads.busy        g    requests that run; .threads: how many could
    <prefix>.queue               g    connections that wait to be accepted, all addresses together
    <prefix>.open                g    open connections
    <prefix>.restarts            g    processes that workers have had before
    <prefix>.memory              g    bytes of memory of all workers (resident, what they share counted for each)
    <prefix>.ready               g    1 while it serves, 0 while it starts, is paused or stops
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prefork.ipc.histogram import difference, quantile
from prefork.ipc.status import CountersStatus, Status

MAX_DATAGRAM = 1432
"""Bytes that go through an Ethernet in one piece, with the headers of IPv6 and UDP and some room for tunnels."""

_COUNTERS = ("requests", "exceptions", "shed", "connections", "bytes_in", "bytes_out")
_NOTHING = CountersStatus()
_READY = frozenset({"serving", "reloading", "rolling back"})


def datagrams(
    before: Status | None, now: Status, memory: int, prefix: str, tags: Mapping[str, str]
) -> Iterator[bytes]:
    """Everything there is to tell. `before` is the look of the last push: without one there are no counters. `memory`: of all
    workers, in bytes."""
    head = f"{prefix}." if prefix else ""
    tail = "|#" + ",".join(f"{key}:{value}" if value else key for key, value in tags.items()) if tags else ""
    batch = b""
    for name, value, kind in _values(before, now, memory):
        line = f"{head}{name}:{value}|{kind}{tail}".encode()
        if batch and len(batch) + 1 + len(line) > MAX_DATAGRAM:
            yield batch
            batch = b""
        batch = batch + b"\n" + line if batch else line
    yield batch


def _values(before: Status | None, now: Status, memory: int) -> Iterator[tuple[str, str, str]]:
    if before is not None:
        yield from _counters(before.counters or _NOTHING, now.counters or _NOTHING)
    accepting = [worker for worker in now.workers if worker.state == "accepting"]
    gauges = {
        "workers": len(accepting),
        "workers.wanted": now.workers_wanted,
        "workers.busy": sum(worker.busy > 0 for worker in now.workers),
        "threads": sum(worker.threads for worker in accepting),
        "threads.busy": sum(worker.busy for worker in now.workers),
        "queue": sum(queue.length for queue in now.queues),
        "open": sum(worker.connections for worker in now.workers),
        "restarts": sum(worker.restarts for worker in now.workers),
        "memory": memory,
        "ready": int(now.state in _READY),
    }
    for name, value in gauges.items():
        yield name, str(value), "g"


def _counters(before: CountersStatus, now: CountersStatus) -> Iterator[tuple[str, str, str]]:
    for name in _COUNTERS:
        yield name, str(_grown(getattr(before, name), getattr(now, name))), "c"
    for index, count in enumerate(now.by_class):
        earlier = before.by_class[index] if index < len(before.by_class) else 0
        yield f"responses.{index + 1}xx", str(_grown(earlier, count)), "c"
    for name, later, former in (
        ("request", now.duration, before.duration),
        ("queued", now.queued, before.queued),
    ):
        counts = difference(later, former)
        if sum(counts):
            for percent in (50, 99):
                yield f"{name}.p{percent}", f"{quantile(counts, percent / 100) * 1000:.3f}", "g"


def _grown(before: int, now: int) -> int:
    return now - before if now >= before else now
