"""How often what happened, counted off the journal.

Owns: the words by which the ends of workers and of reloads are counted: few, for each becomes a series of a metric. Runs in:
master. Must not know: who asks.
"""

from __future__ import annotations

import re
from collections import Counter

from prefork.master.notes import Note

_RELOADS = {
    "reload_done": "done",
    "reload_failed": "failed",
    "rollback_done": "rolled_back",
    "rollback_failed": "rollback_failed",
    "rollback_refused": "rollback_failed",
}


class Tallies:
    """Follows the journal (`hear`)."""

    def __init__(self) -> None:
        self.exits: Counter[str] = Counter()
        self.reloads: Counter[str] = Counter()

    def hear(self, note: Note) -> None:
        """Everything that happens."""
        if note.event == "worker_exited":
            self.exits[_why(note)] += 1
        elif note.event in _RELOADS:
            self.reloads[_RELOADS[note.event]] += 1


def _why(note: Note) -> str:
    """ "killed" (by the master), the first word of its reason to leave ("max_requests", "reload"), "boot_failed" or "crashed"."""
    fields = note.fields
    if fields.get("killed"):
        return "killed"
    word = re.match(r"[a-z_]+", str(fields.get("reason") or ""))
    if word is not None:
        return word[0]
    return "boot_failed" if fields.get("stage") else "crashed"
