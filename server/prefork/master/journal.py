"""What the master tells: to its log, and to whoever follows along.

Owns: the one way of a note to the log. Runs in: master. Must not know: who follows (people who wait for a reload at the
control socket), what the notes mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prefork.master.notes import Note
from prefork.observe.log import Log

SLOW = frozenset({"request_slow", "request_timeout", "request_stuck"})
"""Events that go to `[log] slow` as well."""

Follower = Callable[[Note], None]


class Journal:
    """Written to like a `Log`, which can be exchanged: that of the settings in force."""

    def __init__(self, log: Log, slow: Log | None = None) -> None:
        """`slow` gets what concerns requests that take too long; then their stacks are in no other log."""
        self.log = log
        self.slow = slow
        self._followers: list[Follower] = []

    def follow(self, follower: Follower) -> None:
        """Have every further note told to `follower`, whatever the level of the log."""
        self._followers.append(follower)

    def tell(self, note: Note) -> None:
        """To the log, then to the followers."""
        _write(self.log, note, with_traceback=self.slow is None or note.event not in SLOW)
        if self.slow is not None and note.event in SLOW:
            _write(self.slow, note)
        for follower in self._followers:
            follower(note)

    def warn_with(self, event: str, fields: Mapping[str, object]) -> None:
        """A warning, its fields in one piece."""
        self.tell(Note("warning", event, dict(fields)))

    def debug(self, event: str, /, **fields: object) -> None:
        """For those who look for a fault in prefork itself."""
        self.tell(Note("debug", event, fields))

    def info(self, event: str, /, **fields: object) -> None:
        """Something happened as it should."""
        self.tell(Note("info", event, fields))

    def warning(self, event: str, /, **fields: object) -> None:
        """Somebody should look at it, nobody has to get up at night."""
        self.tell(Note("warning", event, fields))

    def error(self, event: str, /, **fields: object) -> None:
        """Something failed that a client or the operator notices."""
        self.tell(Note("error", event, fields))

    def traceback(self, text: str, /, **fields: object) -> None:
        """Each line of `text` as a line of the log. Followers get tracebacks with their notes."""
        self.log.traceback(text, **fields)


def _write(log: Log, note: Note, *, with_traceback: bool = True) -> None:
    text = note.traceback if with_traceback else ""
    if note.level == "error":
        log.error(note.event, traceback=text, exception=None, **note.fields)
    elif note.level == "warning":
        log.warning(note.event, traceback=text, **note.fields)
    else:
        write = log.info if note.level == "info" else log.debug
        write(note.event, **note.fields)
