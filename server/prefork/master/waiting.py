"""Somebody waits for a new generation: what they are told, and when it is over.

Owns: which of the master's notes belong to a reload or rollback that was asked for. Pure. Runs in: master. Must not know:
connections.

Whoever asks during a reload waits for the next one, which includes what they have just written to disk: it is the first that
starts after they asked.
"""

from __future__ import annotations

from prefork.ipc.control import Result
from prefork.master.notes import Note

_PROBLEMS = ("settings_invalid", "settings_refused")


class GenerationWait:
    """From the request to the end of what it started. `what` is "reload", "rollback" or "upgrade"."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._generation: object = None
        """Of the generation it brings; None: not begun."""
        self._problems: list[str] = []

    def hear(self, note: Note) -> Result | None:
        """How it ended, if `note` says so."""
        if note.event == "stopping":
            return Result(ok=False, error=f"the server was told to stop ({note.fields.get('by')})")
        if note.event == f"{self._what}_refused":
            return Result(ok=False, error=str(note.fields.get("error", "")))
        if note.event == "upgrade_failed" and self._what == "upgrade":
            return self._failed(note)
        if self._generation is None:
            # A generation that replaces one whose zygote died ("reason") has the old settings.
            if note.event == f"{self._what}_started" and not note.fields.get("reason"):
                self._generation = note.fields.get("gen")
            return None
        if note.event in _PROBLEMS:
            self._problems.append(str(note.fields.get("problem", "")))
        if note.fields.get("gen") not in (None, self._generation):
            return None
        if note.event == f"{self._what}_done":
            return Result(ok=True, text=f"generation {self._generation} serves")
        if note.event == f"{self._what}_failed":
            return self._failed(note)
        return None

    def _failed(self, note: Note) -> Result:
        serving = note.fields.get("serving_gen")
        return Result(
            ok=False,
            stage=str(note.fields.get("stage", "")),
            error=str(note.fields.get("error", "")),
            traceback=note.traceback,
            problems=self._problems,
            text="" if serving is None else f"generation {serving} goes on serving",
        )
