"""`prefork top` where there is no screen: a line for each interval, for pipes, files and `--once`.

Owns: its columns. Runs in: cli. Must not know: terminals.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from itertools import count

from prefork.cli import text
from prefork.cli.top.asking import MemoryWatch, sample
from prefork.cli.top.rates import Rates, Sample, rates
from prefork.errors import PreforkError

_WIDTHS = (8, 12, 3, 7, 7, 7, 6, 6, 7, 7, 7, 5, 6, 7)
_TITLES = (
    *("TIME", "STATE", "GEN", "WORKERS", "BUSY", "REQ/S", "4XX", "5XX", "P50", "P99"),
    *("WAITED", "QUEUE", "CPU%", "PRIVATE"),
)
_HEADING_EVERY = 50


def heading() -> str:
    """The line above the others."""
    return _joined(_TITLES)


def line(at: str, status: Sample, rates: Rates | None) -> str:
    """One interval."""
    server = status.status
    accepting = [worker for worker in server.workers if worker.state == "accepting"]
    private = [memory.private for memory in status.memory.values() if memory.private is not None]
    cells = [
        at,
        server.state,
        str(server.generation or "-"),
        f"{len(accepting)}/{server.workers_wanted}",
        f"{sum(worker.busy for worker in accepting)}/{sum(worker.threads for worker in accepting)}",
    ]
    if rates is None:
        cells += ["-"] * 6
    else:
        cells += [
            text.rate(rates.requests_per_s),
            text.percent(rates.client_errors),
            text.percent(rates.server_errors),
            *("-" if each is None else text.latency(each) for each in _quantiles(rates)),
        ]
    cells.append(str(sum(queue.length for queue in server.queues)) if server.queues else "-")
    cells.append("-" if rates is None else f"{rates.cpu * 100:.0f}")
    cells.append(text.size(sum(private)) if private else "-")
    return _joined(cells)


def _quantiles(rates: Rates) -> tuple[float | None, float | None, float | None]:
    return rates.p50_s, rates.p99_s, rates.queued_p99_s


def _joined(cells: list[str] | tuple[str, ...]) -> str:
    return " ".join(
        cell.ljust(width) if index < 2 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, _WIDTHS, strict=True))
    ).rstrip()


def follow(
    path: str,
    first: Sample,
    interval_s: float,
    *,
    once: bool,
    wait: Callable[[float], None] = time.sleep,
    show: Callable[[str], None] = lambda written: print(written, flush=True),
) -> None:
    """A line after each interval, until somebody ends it; with `once`, one. Raises PreforkError only with `once`."""
    memory, before = MemoryWatch(), first
    for number in count():
        wait(interval_s)
        at = datetime.now().strftime("%H:%M:%S")
        if number % _HEADING_EVERY == 0:
            show(heading())
        try:
            after = sample(path, memory)
        except PreforkError as error:
            if once:
                raise
            show(f"{at} {error}")
            continue
        show(line(at, after, rates(before, after)))
        before = after
        if once:
            return
