"""How reloads and rollbacks ended, for whoever asks later.

Owns: the memory of the last ones. Runs in: master. Must not know: who asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from prefork.ipc.status import ReloadStatus
from prefork.master.notes import Note

KEPT = 20

LONGEST_TRACEBACK = 16 * 1024
"""Characters; the end, where the error is."""

_ENDS = {"reload_done": True, "rollback_done": True, "reload_failed": False, "rollback_failed": False}
"""Notes that tell how a reload or rollback ended."""


class History:
    """Follows the journal (`hear`)."""

    def __init__(self, clock: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._ended: deque[tuple[float, ReloadStatus]] = deque(maxlen=KEPT)

    def restore(self, ended: Iterable[tuple[float, ReloadStatus]]) -> None:
        """What `entries` gave before an upgrade."""
        self._ended.extend(ended)

    @property
    def entries(self) -> list[tuple[float, ReloadStatus]]:
        """(monotonic seconds, what ended then), oldest first."""
        return list(self._ended)

    def hear(self, note: Note) -> None:
        """Everything that happens; the ends are remembered."""
        ok = _ENDS.get(note.event)
        if ok is None:
            return
        number = note.fields.get("gen")
        ended = ReloadStatus(
            what=note.event.partition("_")[0],
            ok=ok,
            generation=number if isinstance(number, int) else None,
            ago_s=0.0,
            stage=str(note.fields.get("stage", "")),
            error=str(note.fields.get("error", "")),
            traceback=note.traceback[-LONGEST_TRACEBACK:],
            at_s=round(self._wall_clock(), 3),
        )
        self._ended.append((self._clock(), ended))

    def latest(self) -> list[ReloadStatus]:
        """As a status has them: newest first, each with its age."""
        now = self._clock()
        return [
            msgspec.structs.replace(ended, ago_s=round(now - at, 1)) for at, ended in reversed(self._ended)
        ]
