"""Workers as rows, and which of their columns a screen has room for.

Owns: what each column shows, the order of rows. Pure. Runs in: cli. Must not know: colours, keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from prefork.cli import text
from prefork.cli.top.rates import Rates, Sample, WorkerRates
from prefork.ipc.status import RequestStatus, WorkerStatus
from prefork.observe.memory import Memory


class Sort(Enum):
    """What rows are ordered by; the value is the word for it."""

    WORKER = "worker"
    REQUESTS = "req/s"
    CPU = "cpu"
    MEMORY = "memory"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class Row:
    """One worker."""

    worker: WorkerStatus
    rates: WorkerRates
    memory: Memory | None

    @property
    def oldest(self) -> RequestStatus | None:
        """Of the requests it runs, the one that has run for longest."""
        return max(self.worker.running, key=lambda request: request.elapsed_s, default=None)

    @property
    def age_s(self) -> float | None:
        """For how long that has run."""
        oldest = self.oldest
        return None if oldest is None else oldest.elapsed_s


def rows(sample: Sample, rates: Rates | None, sort: Sort) -> list[Row]:
    """Largest first; by number of the worker where they are equal."""
    made = [
        Row(
            worker,
            (rates.workers.get(worker.id) if rates else None) or WorkerRates(),
            sample.memory.get(worker.pid or 0),
        )
        for worker in sample.status.workers
    ]
    made.sort(key=lambda row: (row.worker.worker, row.worker.id))
    value = _SORTED_BY[sort]
    if value is not None:
        made.sort(key=value, reverse=True)
        # A reversed sort keeps the order of equals, too (sort(), Python's manual).
    return made


def _private(row: Row) -> float:
    if row.memory is None:
        return -1.0
    return float(row.memory.rss if row.memory.private is None else row.memory.private)


def _or_least(number: float | None) -> float:
    return -1.0 if number is None else number


_SORTED_BY: dict[Sort, Callable[[Row], float] | None] = {
    Sort.WORKER: None,
    Sort.REQUESTS: lambda row: _or_least(row.rates.requests_per_s),
    Sort.CPU: lambda row: _or_least(row.rates.cpu),
    Sort.MEMORY: _private,
    Sort.AGE: lambda row: _or_least(row.age_s),
}


# columns ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """`rank`: the lowest are shown first if there is no room for all."""

    title: str
    width: int
    rank: int
    cell: Callable[[Row], str]
    left: bool = False
    sort: Sort | None = None
    """It shows what this order is by."""


def _request(row: Row) -> str:
    oldest = row.oldest
    if oldest is None:
        return text.one_line(row.worker.reason)
    more = len(row.worker.running) - 1
    return f"{f'(+{more}) ' if more else ''}{text.one_line(_without_version(oldest.request))}"


def _without_version(line: str) -> str:
    return line.removesuffix(" HTTP/1.1").removesuffix(" HTTP/1.0")


def _known(number: float | None, form: Callable[[float], str]) -> str:
    return "-" if number is None else form(number)


def _cpu(share: float) -> str:
    return f"{share * 100:.0f}"


COLUMNS: tuple[Column, ...] = (
    Column("W", 3, 0, lambda row: str(row.worker.worker), sort=Sort.WORKER),
    Column("PID", 7, 0, lambda row: str(row.worker.pid or "-")),
    Column("GEN", 3, 0, lambda row: str(row.worker.generation)),
    Column("STATE", 9, 0, lambda row: row.worker.state, left=True),
    Column("UP", 5, 9, lambda row: _known(row.worker.age_s, text.age)),
    Column(
        "BUSY", 5, 0, lambda row: f"{row.worker.busy}/{row.worker.threads}" if row.worker.threads else "-"
    ),
    Column("REQ/S", 6, 0, lambda row: _known(row.rates.requests_per_s, text.rate), sort=Sort.REQUESTS),
    Column("P99", 6, 3, lambda row: _known(row.rates.p99_s, text.latency)),
    Column("CPU%", 4, 0, lambda row: _known(row.rates.cpu, _cpu), sort=Sort.CPU),
    Column("RSS", 7, 6, lambda row: text.size(row.memory.rss if row.memory else None)),
    Column("PRIV", 7, 1, lambda row: text.size(row.memory.private if row.memory else None), sort=Sort.MEMORY),
    Column("SHARED", 7, 7, lambda row: text.size(row.memory.shared if row.memory else None)),
    Column("CONN", 5, 4, lambda row: str(row.worker.connections)),
    Column("RST", 4, 5, lambda row: str(row.worker.restarts)),
    Column(
        "REQUESTS", 9, 8, lambda row: str(row.worker.requests) if row.worker.requests is not None else "-"
    ),
    Column("AGE", 6, 0, lambda row: _known(row.age_s, text.latency), sort=Sort.AGE),
)
"""In the order of the screen. The request follows them, as wide as there is room."""

REQUEST = Column("REQUEST", 20, 0, _request, left=True)

_ROOMY = 28
"""What the request keeps before less important columns come."""


def columns(width: int) -> list[Column]:
    """Those that a screen of `width` has room for, with one space between."""
    chosen = {column.title for column in COLUMNS if column.rank == 0}
    used = sum(column.width + 1 for column in COLUMNS if column.rank == 0)
    for column in sorted((column for column in COLUMNS if column.rank), key=lambda column: column.rank):
        least = REQUEST.width if column.rank == 1 else _ROOMY
        if used + column.width + 1 + least > width:
            break
        chosen.add(column.title)
        used += column.width + 1
    return [column for column in COLUMNS if column.title in chosen]


def headings(width: int) -> str:
    """The line above the rows."""
    shown = columns(width)
    titles = (_fit(column.title, column) for column in shown)
    return " ".join([*titles, REQUEST.title])[:width].ljust(width)


def cells(row: Row, shown: Sequence[Column]) -> Iterator[tuple[Column, str]]:
    """Each column as wide as it is, and the request, as long as it is."""
    for column in shown:
        yield column, _fit(column.cell(row)[: column.width], column)
    yield REQUEST, REQUEST.cell(row)


def _fit(cell: str, column: Column) -> str:
    return cell.ljust(column.width) if column.left else cell.rjust(column.width)
