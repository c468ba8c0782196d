"""What settings that depend on the machine come to.

Owns: those few words, for `prefork config`. Runs in: cli. Must not know: how the settings are printed.
"""

from __future__ import annotations

from collections.abc import Callable

from prefork.settings.cpus import usable_cpus
from prefork.settings.kinds.memory import Share
from prefork.settings.kinds.workers import CountRange
from prefork.settings.memory import UsableMemory, limit_bytes, usable_memory
from prefork.settings.model import Settings, WorkerSettings

_MIB = 1 << 20


def most_workers(workers: WorkerSettings, cpus: Callable[[], int] = usable_cpus) -> int:
    """How many there will be at most, unless somebody scales."""
    count = workers.count
    if isinstance(count, CountRange):
        return count.max
    return cpus() if count == "auto" else int(count)


def in_numbers(
    settings: Settings,
    cpus: Callable[[], int] = usable_cpus,
    memory: Callable[[], UsableMemory] = usable_memory,
) -> dict[str, str]:
    """ "table.key" -> what its value means here."""
    workers = settings.workers
    found: dict[str, str] = {}
    if workers.count == "auto":
        found["workers.count"] = f"{cpus()} here"
    limits = {
        "workers.max_memory": workers.max_memory,
        "workers.max_memory_hard": workers.max_memory_hard,
        "requests.body_memory_shared": settings.requests.body_memory_shared,
    }
    for key, limit in limits.items():
        if isinstance(limit, Share):
            usable, count = memory(), most_workers(workers, cpus)
            each = limit_bytes(limit, count, usable) // _MIB
            found[key] = f"{each}MiB for each of {count} here, of {usable.size // _MIB}MiB ({usable.source})"
    return found
