"""Hooks for what the master sees: it asks the zygote of a generation to run them.

Owns: which note is which hook, what its functions are told, whom to ask, and how many at most. Runs in: master. Must not know:
the functions (a zygote knows them), what they do.

A request's hook is run by the zygote of its generation, that of a failed reload by the one that goes on serving: the code that
failed is not to be trusted with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prefork.ipc.messages import RunHook, clip
from prefork.master.links import Links
from prefork.master.notes import Note
from prefork.master.state import Pool

MOST, WINDOW_S = 20, 10.0
"""So many calls at most in so much time: a thousand slow requests are one problem, and each call is a process."""

_LONGEST = 8000

_REQUEST = {"request_slow": "on_slow", "request_timeout": "on_timeout"}
_FAILED = {"reload_failed": "reload", "rollback_failed": "rollback", "upgrade_failed": "upgrade"}


class HookCalls:
    """One for the server; follows the journal."""

    def __init__(
        self,
        pool: Pool,
        links: Links,
        warn: Callable[[str, Mapping[str, object]], None],
        clock: Callable[[], float],
    ) -> None:
        """`warn` logs an event with its fields."""
        self._pool = pool
        self._links = links
        self._warn = warn
        self._clock = clock
        self._window_ends = 0.0
        self._calls = 0

    def hear(self, note: Note) -> None:
        """Something was told."""
        if note.event in _REQUEST:
            number = note.fields.get("gen")
            self._ask(number, _REQUEST[note.event], _about_request(note))
        elif note.event in _FAILED:
            serving = note.fields.get("serving_gen", self._pool.active)
            self._ask(serving, "on_reload_failed", _about_failure(note, serving))

    def _ask(self, generation: object, hook: str, arguments: dict[str, object]) -> None:
        if not isinstance(generation, int):
            return
        now = self._clock()
        if now >= self._window_ends:
            self._window_ends, self._calls = now + WINDOW_S, 0
        self._calls += 1
        if self._calls > MOST:
            if self._calls == MOST + 1:
                error = (
                    f"more than {MOST} calls in {WINDOW_S:g}s; those until the end of that time are left out"
                )
                self._warn("hooks_skipped", {"hook": hook, "error": error})
            return
        # A zygote that has gone has nobody to run it; that it has gone is told elsewhere.
        self._links.tell_zygote(generation, RunHook(hook=hook, arguments=arguments))


def _about_request(note: Note) -> dict[str, object]:
    arguments = {_NAMES.get(key, key): _plain(value) for key, value in note.fields.items()}
    return {**arguments, "stack": clip(note.traceback, _LONGEST)}


def _about_failure(note: Note, serving: object) -> dict[str, object]:
    fields = note.fields
    return {
        "what": _FAILED[note.event],
        "generation": fields.get("gen"),
        "serving_generation": serving,
        "stage": str(fields.get("stage", "")),
        "error": clip(str(fields.get("error", "")), _LONGEST),
        "traceback": clip(note.traceback, _LONGEST),
    }


_NAMES = {"gen": "generation"}


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int | float) else str(value)
