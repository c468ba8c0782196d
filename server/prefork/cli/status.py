"""`prefork status`: what is there, and how it is.

Owns: the table, and memory, which it measures itself: that takes time for large processes, and the master has none. Runs in:
cli.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from prefork.cli.steer import steering_command
from prefork.ipc.control import Result, StatusRequest
from prefork.ipc.status import Status, decode_status

if TYPE_CHECKING:
    from prefork.observe.memory import Memory


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="everything, for programs")


def _show(arguments: argparse.Namespace, result: Result) -> None:
    # Here, so that other commands do not load the library that reads /proc.
    from prefork.observe.memory import measure

    status = decode_status(bytes(result.data))
    memory = {w.pid: measure(w.pid) for w in status.workers if w.pid is not None}
    if arguments.json:
        print(json.dumps(as_json(result.data, memory), indent=2))
        return
    for line in table(status, memory):
        print(line)


def as_json(data: msgspec.Raw, memory: dict[int, Memory | None]) -> dict[str, Any]:
    """What the server said, unchanged, and the memory of each worker in bytes."""
    said: dict[str, Any] = json.loads(bytes(data))
    for worker in said["workers"]:
        found = memory.get(worker["pid"])
        worker["memory"] = None if found is None else msgspec.structs.asdict(found)
    return said


def table(status: Status, memory: dict[int, Memory | None]) -> list[str]:
    """The lines a person sees."""
    lines = [
        f"{status.name}: {status.state}, pid {status.pid}, prefork {status.version}, up {_time(status.uptime_s)}",
        f"listening on {', '.join(status.listeners)}",
    ]
    last = status.last_reload
    if last is not None:
        how = f"generation {last.generation} serves" if last.ok else f"failed ({last.stage}): {last.error}"
        lines.append(f"last {last.what} {_time(last.ago_s)} ago: {how}")
    for generation in status.generations:
        parked = generation.parked_for_s
        details = [
            f"zygote {generation.zygote_pid} {generation.zygote}",
            "preloaded" if generation.preloaded else "not preloaded",
            *([f"kept for {_time(parked)} more"] if parked is not None else []),
        ]
        lines.append(f"generation {generation.number}: {generation.state}, {', '.join(details)}")
    if not status.workers:
        return [*lines, f"workers: none ({status.workers_wanted} wanted)"]
    rows: list[tuple[str, ...]] = [
        ("WORKER", "PID", "GEN", "STATE", "AGE", "BUSY", "REQUESTS", "RSS", "PRIVATE", "SHARED")
    ]
    for worker in status.workers:
        found = memory.get(worker.pid or 0)
        rows.append(
            (
                str(worker.worker),
                _text(worker.pid),
                str(worker.generation),
                worker.state + (f" ({worker.reason})" if worker.reason else ""),
                "-" if worker.age_s is None else _time(worker.age_s),
                f"{worker.busy}/{worker.threads}" if worker.threads else "-",
                _text(worker.requests),
                *([_size(found.rss), _size(found.private), _size(found.shared)] if found else ["-"] * 3),
            )
        )
    return [*lines, "", *aligned(rows)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns under each other; numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = {3}
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _text(number: int | None) -> str:
    return "-" if number is None else str(number)


def _time(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s" if seconds >= 10 else f"{seconds:.1f}s"


def _size(size: int | None) -> str:
    return "-" if size is None else f"{size / (1 << 20):.1f}M"


COMMAND = steering_command(
    "status",
    "show the server's generations, workers and memory",
    "Show the server's state, its generations and its workers. PRIVATE is what a worker has of its own, SHARED what it "
    "has in common with its siblings through the zygote.",
    lambda _: StatusRequest(),
    add_arguments=_add_arguments,
    show=_show,
)
