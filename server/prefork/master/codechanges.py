"""Development: files of the application have changed.

Owns: which worker's word counts, and what becomes of the worker. Runs in: master. Pure. Must not know: files, how workers
notice (see `prefork.dev.session`).

A worker imports the application by itself there (`preload = "never"`), so a new worker is new code. What the zygote has read,
settings and installed packages, takes a whole generation.
"""

from __future__ import annotations

from prefork.master.events import CodeChanged
from prefork.master.notes import Note
from prefork.master.state import Phase, Pool, Slot

_DYING = (Phase.LOST, Phase.KILLED)


def changed(pool: Pool, event: CodeChanged, now: float) -> list[Note]:
    """Have what is newer. All workers see the same files, so only the youngest of a slot is listened to: it will be the last to
    have read them."""
    worker = pool.workers.get(event.worker)
    if worker is None or pool.is_leaving:
        return []
    younger = (each for each in pool.in_slot(worker.slot) if each.id > worker.id and each.phase not in _DYING)
    if any(younger):
        return []
    # Code that crashed has been mended, perhaps: it is tried at once.
    slot = pool.slots.setdefault(worker.slot, Slot(worker.slot))
    slot.failures, slot.retry_at = 0, 0.0
    if event.whole:
        pool.reload_wanted = True
    elif worker.is_booting:
        worker.outdated = True
    elif worker.phase is Phase.ACCEPTING:
        worker.replace, worker.urgent = f"changed: {event.files}", True
    return [Note("info", "code_changed", {"worker": worker.slot, "files": event.files})]
