"""The one line that `systemctl status` shows.

Owns: its words. Pure. Runs in: master. Must not know: how it gets there.
"""

from __future__ import annotations

from prefork.ipc.status import Status, WorkerStatus


def status_line(status: Status, rate_per_s: float | None, failure: str) -> str:
    """`rate_per_s`: requests answered, None if nobody has measured; `failure`: what went wrong last, empty if nothing did."""
    text = _state(status)
    if status.state in ("serving", "reloading", "rolling back", "draining") and rate_per_s is not None:
        text += f", {_rate(rate_per_s)} requests/s"
    return f"{text}; {failure}" if failure and status.state != "stopping" else text


def _state(status: Status) -> str:
    serving = [worker for worker in status.workers if worker.state == "accepting"]
    generation = "nothing serves" if status.generation is None else f"generation {status.generation} serves"
    match status.state:
        case "starting" if not status.workers:
            return "starting: the application is imported"
        case "starting":
            return f"starting: {_of(len(serving), status.workers_wanted)} ready"
        case "paused":
            return "paused: no workers, connections wait"
        case "stopping":
            left = len(status.workers)
            return f"stopping: {_count(left)} to finish" if left else "stopping"
        case "reloading" | "rolling back":
            candidate = [each.number for each in status.generations if each.state in ("booting", "ready")]
            new = f" to generation {candidate[-1]}" if candidate else ""
            return f"{status.state}{new}; {generation}: {_workers(status, serving)}"
        case "serving":
            return f"{generation}: {_workers(status, serving)}"
        case other:
            return f"{other}; {generation}: {_workers(status, serving)}"


def _workers(status: Status, serving: list[WorkerStatus]) -> str:
    busy = sum(1 for worker in status.workers if worker.busy)
    if not status.workers_wanted:
        return "no workers, the first connection starts one"
    return f"{_of(len(serving), status.workers_wanted)}, {busy} busy"


def _of(there: int, wanted: int) -> str:
    return _count(wanted) if there >= wanted else f"{there} of {_count(wanted)}"


def _count(number: int) -> str:
    return f"{number} worker" if number == 1 else f"{number} workers"


def _rate(per_s: float) -> str:
    return f"{per_s:.0f}" if per_s >= 10 or per_s == 0 else f"{per_s:.1f}"


def requests_of(status: Status) -> int:
    """How many were answered so far."""
    if status.counters is not None:
        return status.counters.requests
    return sum(worker.requests or 0 for worker in status.workers)
