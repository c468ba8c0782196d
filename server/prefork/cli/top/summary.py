"""A server in a few words: what the screen says above the workers.

Owns: those words. Pure. Runs in: cli. Must not know: colours, where there is room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prefork.cli import text
from prefork.cli.top.rates import Rates
from prefork.ipc.status import ReloadStatus, Status


@dataclass(frozen=True, slots=True)
class Item:
    """`name value`; `bad` if somebody should look at it, `rank` as for columns."""

    name: str
    value: str
    bad: bool = False
    rank: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


def identity(status: Status) -> list[str]:
    """Which server this is; its state is said elsewhere."""
    generation = "no generation" if status.generation is None else f"generation {status.generation}"
    return [generation, f"up {text.age(status.uptime_s)}", f"pid {status.pid}", f"prefork {status.version}"]


def last_reload(last: ReloadStatus | None) -> Item | None:
    """How the last reload or rollback ended, in one line."""
    if last is None:
        return None
    what = f"{last.what} {text.age(last.ago_s)} ago:"
    if last.ok:
        return Item(what, f"generation {last.generation} serves")
    stage = f" ({last.stage})" if last.stage else ""
    return Item(what, text.one_line(f"failed{stage}: {last.error}"), bad=True)


def answers(rates: Rates | None) -> list[Item]:
    """What clients got in the last interval."""
    if rates is None:
        return [Item("req/s", "-"), Item("p50", "-"), Item("p99", "-")]
    return [
        Item("req/s", text.rate(rates.requests_per_s)),
        Item("p50", _latency(rates.p50_s)),
        Item("p99", _latency(rates.p99_s)),
        Item("5xx", text.percent(rates.server_errors), bad=rates.server_errors > 0),
        Item("4xx", text.percent(rates.client_errors)),
        Item("cpu", f"{rates.cpu * 100:.0f}%"),
        Item("exceptions/s", text.rate(rates.exceptions_per_s), bad=rates.exceptions_per_s > 0, rank=3),
        Item("in/s", text.size(rates.bytes_in_per_s), rank=2),
        Item("out/s", text.size(rates.bytes_out_per_s), rank=1),
    ]


def load(status: Status, rates: Rates | None) -> list[Item]:
    """What waits, and who could take it."""
    accepting = [worker for worker in status.workers if worker.state == "accepting"]
    busy = sum(worker.busy for worker in accepting)
    threads = sum(worker.threads for worker in accepting)
    items = [
        Item(
            "workers",
            f"{len(accepting)}/{status.workers_wanted}",
            bad=len(accepting) < status.workers_wanted and status.state == "serving",
        ),
        Item("busy", f"{busy}/{threads}", bad=busy >= threads > 0),
        *_queue(status),
    ]
    if rates is not None:
        items.append(Item("waited p99", _latency(rates.queued_p99_s)))
        items.append(Item("shed/s", text.rate(rates.shed_per_s), bad=rates.shed_per_s > 0, rank=1))
    connections = sum(worker.connections for worker in status.workers)
    return [*items, Item("connections", str(connections), rank=2)]


def _queue(status: Status) -> list[Item]:
    if not status.queues:
        return []
    waiting = sum(queue.length for queue in status.queues)
    fullest = max(status.queues, key=lambda queue: queue.highest / max(1, queue.limit))
    full = any(queue.length >= queue.limit > 0 for queue in status.queues)
    limit = f" of {fullest.limit}" if fullest.limit else ""
    return [Item("queue", f"{waiting} (highest {fullest.highest}{limit})", bad=full)]


def _latency(seconds: float | None) -> str:
    return "-" if seconds is None else text.latency(seconds)


def fitting(items: Sequence[Item], width: int, gap: int = 2) -> list[Item]:
    """As many as a line of `width` has room for, the most important ones, in their order."""
    chosen: set[int] = set()
    used = 0
    for index in sorted(range(len(items)), key=lambda index: items[index].rank):
        needed = len(str(items[index])) + (gap if chosen else 0)
        if used + needed > width:
            break
        chosen.add(index)
        used += needed
    return [item for index, item in enumerate(items) if index in chosen]
