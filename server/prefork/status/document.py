"""The bodies of /status and of what the page asks for.

Owns: their shape: what the master said, unchanged, with what this process knows. Pure. Runs in: status process. Must not know:
HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from prefork.observe.memory import Memory
from prefork.status.history import Point
from prefork.status.source import Answer

Document = dict[str, Any]


def status_document(answer: Answer, memory: Mapping[int, Memory | None], stale_s: float) -> Document:
    """What `prefork status --json` prints, and `stale_s`: the age of an answer that is not fresh, else 0."""
    document: Document = msgspec.json.decode(answer.data)
    for worker in document.get("workers", ()):
        found = memory.get(worker.get("pid"))
        worker["memory"] = None if found is None else msgspec.structs.asdict(found)
    document["stale_s"] = round(stale_s, 3)
    return document


def page_document(status: Document | None, points: Sequence[Point], silent_s: float) -> Document:
    """`status`: None if the master has never answered."""
    return {
        "status": status,
        "points": [msgspec.structs.asdict(point) for point in points],
        "silent_s": round(silent_s, 3),
    }


def pids(answer: Answer) -> list[int]:
    """The workers' processes."""
    return [worker.pid for worker in answer.status.workers if worker.pid is not None]
