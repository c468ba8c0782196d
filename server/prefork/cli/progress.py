"""The steps of a command as a person sees them.

Owns: their words. On a terminal a step that only counts stays on one line. Runs in: cli. Must not know: connections.
"""

from __future__ import annotations

import sys
from typing import TextIO

from prefork.cli.text import one_line
from prefork.ipc.control import Progress, Result

_WORDS = {
    "reload_started": "reload: generation {gen} begins",
    "reload_queued": "reload: waits until generation {after_gen} is done",
    "rollback_started": "rollback: generation {gen} takes over from {from_gen}",
    "rollback_ended": "generation {gen} is not kept any longer",
    "setting_changed": "setting: {key} = {new} (was {old})",
    "listening": "listening on {address}",
    "listening_ended": "no longer listening on {address}",
    "zygote_ready": "application imported",
    "not_preloaded": "not preloaded: {found}",
    "worker_ready": "worker {worker} of generation {gen} accepts connections",
    "worker_exited": "worker {worker} of generation {gen} has ended: {how}",
    "stopping": "stopping ({how})",
    "draining": "draining: not ready any more, serving on for {for_s} s",
    "drained": "drained: whoever sends clients has had the time to notice",
    "drain_ended": "ready again",
    "stop_awaits_drain": "stopping in {for_s} s, when the drain is over",
    "resumed": "resumed with {workers} worker(s)",
}

_BRIEF = frozenset({"worker_ready", "worker_exited"})
"""Steps that come once for each worker: on a terminal the next one takes their place."""

_SILENT = frozenset(
    {
        "reload_done",
        "reload_failed",
        "rollback_done",
        "rollback_failed",
        "rollback_refused",
        "upgrade_refused",
    }
    | {"settings_invalid", "settings_refused", "stopped"}
)
"""The result says it, with all that belongs to it."""


class ProgressLines:
    """Prints steps to `stream`: a line each, or on a terminal the passing ones over each other."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._passing = False

    def tell(self, step: Progress) -> None:
        """One step."""
        if step.event in _SILENT:
            return
        text = describe(step)
        if self._terminal and step.event in _BRIEF:
            # "\x1b[K" erases what a longer line left behind (ECMA-48, EL).
            self._write(f"\r{text}\x1b[K")
            self._passing = True
        else:
            self.end()
            self._write(f"{text}\n")

    def end(self) -> None:
        """Nothing follows on a passing line."""
        if self._passing:
            self._write("\r\x1b[K")
            self._passing = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def describe(step: Progress) -> str:
    """One line."""
    words = _WORDS.get(step.event)
    if words is not None:
        try:
            return one_line(words.format_map(step.fields))
        except KeyError:
            pass  # a server of another release has other fields
    fields = " ".join(f"{key}={value}" for key, value in step.fields.items())
    return one_line(f"{step.event.replace('_', ' ')} {fields}".rstrip())


def failure_lines(what: str, result: Result) -> list[str]:
    """What a person needs to know of a result that is not ok: the application's own words last but one."""
    lines = result.traceback.rstrip("\n").splitlines()
    stage = f" ({result.stage})" if result.stage else ""
    if result.problems:
        lines += [f"prefork: {problem}" for problem in result.problems]
        lines.append(f"prefork: {what} failed{stage}")
    else:
        lines.append(f"prefork: {what} failed{stage}: {one_line(result.error)}")
    if result.text:
        lines.append(f"prefork: {result.text}")
    return lines
