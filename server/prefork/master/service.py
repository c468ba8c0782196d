"""The server as a service of systemd: what is said when.

Owns: the moments of READY, RELOADING, STOPPING, STATUS, WATCHDOG and EXTEND_TIMEOUT_USEC, and which listeners systemd keeps for
the next master. A follower of the journal, and one more thing that the loop turns. Runs in: master. Must not know: the form of
messages (see `prefork.systemd`), how the pool works.

MAINPID is never said: an upgrade executes in place, so what systemd knows stays true. BARRIER is needed once, before an address
is bound that systemd may still hold: all else is said by the main process over one socket, which PID 1 reads in order and before
it collects a child. A sign of life comes from the loop's own turn, never from a thread: a loop that hangs is to be found.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto

from prefork.errors import PreforkError
from prefork.ipc.status import Status
from prefork.master.journal import Journal
from prefork.master.listening import keeping_name
from prefork.master.notes import Note
from prefork.master.servicestatus import requests_of, status_line
from prefork.net.inherit import inherit
from prefork.net.listeners import Keeper, Listener
from prefork.systemd import Notifier, Told, close_passed, message

EXTENSION_S = 30.0
"""So much longer systemd may be asked to wait: once the loop stands still, no longer than this."""

RENEW_EVERY_S = 10.0

LONGEST_START_S = 60.0
"""Beyond two `boot_timeout`s: if not all workers serve by then, TimeoutStartSec= decides."""

RETRY_S = 0.05
"""When systemd's queue was full."""

BARRIER_S = 5.0

_BEGINS = ("reload_started", "rollback_started")
_ENDS = ("reload_done", "reload_failed", "rollback_done", "rollback_failed")
_QUIET = ("worker_forked", "zygote_started", "stranger_reaped", "control_listening")


class _Phase(Enum):
    STARTING = auto()
    RUNNING = auto()
    RELOADING = auto()
    STOPPING = auto()


class Service:
    """One for the server. Says nothing if nobody listens."""

    def __init__(self, told: Told, clock: Callable[[], float] = time.monotonic) -> None:
        self._told = told
        self._clock = clock
        self._notifier = Notifier(told.notify_socket)
        self._phase = _Phase.STARTING
        self._journal: Journal | None = None
        self._status: Callable[[], Status] | None = None
        self._listeners: Callable[[], Sequence[Listener]] = tuple
        self._stored: dict[str, Listener | None] = {}
        self._failure = ""
        self._complained = False
        self._changed = False
        self._said = ""
        self._rate: float | None = None
        self._counted = (0, clock())
        self._ping_at = clock()
        self._extend_at = clock()
        self._extend_until = float("inf")

    # The start ----------------------------------------------------------------------------------------------------

    def begin(self, boot_timeout_s: float) -> None:
        """The settings are known; from here on it may take its time."""
        self._extend_until = self._clock() + 2 * boot_timeout_s + LONGEST_START_S
        self._say(STATUS="starting", **self._extension())

    def inherited(self) -> list[Listener]:
        """The sockets that systemd passed. Raises ListenError for one that cannot be served."""
        listeners: list[Listener] = []
        for index, passed in enumerate(self._told.fds):
            try:
                listeners.append(
                    inherit(passed.fd, passed.name, Keeper.STORE if passed.is_stored else Keeper.UNIT)
                )
            except PreforkError as error:
                if passed.is_stored:
                    # Ours once; whatever has become of it, it can be made anew.
                    self._say(FDSTOREREMOVE=1, FDNAME=passed.name)
                    continue
                close_passed(self._told.fds[index + 1 :])
                raise type(error)(f"systemd passed what cannot be served: {error}") from error
        self._stored = {each.name: each for each in listeners if each.keeper is Keeper.STORE}
        return listeners

    def give_up(self, listeners: Iterable[Listener]) -> None:
        """Those that were kept for nothing: their addresses are free when this returns, or will be in a moment."""
        dropped = False
        for listener in listeners:
            # A socket file stays: it may be another server's by now, and whoever binds there replaces a stale one.
            listener.close()
            self._forget(listener.name)
            dropped = True
        if dropped:
            self._notifier.barrier(BARRIER_S)

    def attach(
        self,
        journal: Journal,
        status: Callable[[], Status],
        listeners: Callable[[], Sequence[Listener]],
        *,
        resumed: bool,
    ) -> None:
        """What is told about, and what is kept: the listeners in force. `resumed`: an upgrade goes on where all was ready."""
        self._journal, self._status, self._listeners = journal, status, listeners
        journal.follow(self.hear)
        if resumed:
            self._phase, self._extend_until = _Phase.RUNNING, 0.0
            self._stored = {each.name: each for each in listeners() if each.keeper is Keeper.STORE}
        self._keep()

    def failed(self, error: Exception) -> None:
        """It will not start."""
        cause = error.__cause__
        number = cause.errno if isinstance(cause, OSError) and cause.errno else None
        self._say(STATUS=f"did not start: {error}", **({} if number is None else {"ERRNO": number}))

    # What the master tells ----------------------------------------------------------------------------------------

    def hear(self, note: Note) -> None:
        """One line of the journal."""
        if note.level == "debug" or note.event in _QUIET:
            return
        self._changed = True
        if note.event == "ready" and self._phase is _Phase.STARTING:
            self._ready()
        elif note.event in _BEGINS and not note.fields.get("reason"):
            self._reloading()
        elif note.event in _ENDS:
            self._reload_ended(note)
        elif note.event in ("stopping", "stop_awaits_drain") or (
            note.event == "draining" and note.fields.get("by") == "SIGTERM"
        ):
            # With server.drain_delay it serves on for a while; systemd's patience is used up all the same.
            self._stopping()
        elif note.event == "boot_failed":
            # The last word: how the rest comes to its end is of no interest.
            self._say(STATUS=_reason("the application does not start", note))
            self._status = None
        elif note.event == "upgrade_failed":
            self._failure = _reason("the last upgrade failed", note)

    def _ready(self) -> None:
        self._phase = _Phase.RUNNING
        self._say(READY=1, STATUS=self._line(), **self._ping())

    def _reloading(self) -> None:
        if self._phase in (_Phase.RUNNING, _Phase.RELOADING):
            self._phase = _Phase.RELOADING
            # systemd matches it with the time of its own request (Type=notify-reload, systemd.service(5)).
            self._say(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
            self._extend()

    def _reload_ended(self, note: Note) -> None:
        what = note.event.partition("_")[0]
        self._failure = _reason(f"the last {what} failed", note) if note.event.endswith("_failed") else ""
        if note.event.endswith("_done"):
            self._keep()
        if self._phase is _Phase.RELOADING:
            self._phase = _Phase.RUNNING
            # Also after a failure: what serves is ready, and systemd would wait for ever (systemd issue 37515).
            self._say(READY=1, STATUS=self._line(), **self._ping())

    def _stopping(self) -> None:
        if self._phase is _Phase.STOPPING:
            return
        self._phase = _Phase.STOPPING
        self._say(STOPPING=1, STATUS=self._line())
        self._extend_until = float("inf")
        self._extend()

    # The loop -----------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When to call `turn` although nothing happens. Of an idle server: for the watchdog, or never."""
        if not self._notifier:
            return None
        times = []
        if self._told.watchdog_s:
            times.append(self._ping_at)
        if self._extends:
            times.append(self._extend_at)
        if self._notifier.is_waiting:
            times.append(self._clock() + RETRY_S)
        return min(times, default=None)

    def turn(self) -> None:
        """The loop has gone round."""
        if not self._notifier:
            return
        now = self._clock()
        self._notifier.flush()
        if self._extends and now >= self._extend_at:
            self._extend()
        fields: dict[str, object] = {}
        if self._told.watchdog_s and now >= self._ping_at:
            self._measure(now)
            self._changed = True
            fields = self._ping()
        if self._changed and self._status is not None:
            self._changed = False
            line = self._line()
            if line != self._said:
                fields["STATUS"] = line
        self._say(**fields)
        if self._notifier.error and not self._complained and self._journal is not None:
            self._complained = True
            self._journal.warning("systemd_not_notified", error=self._notifier.error)

    def hand_over(self) -> Mapping[str, str]:
        """The environment of the program that this one is about to become; it gets time to become a loop."""
        self._say(STATUS="upgrading", **self._extension())
        return self._told.environ

    def close(self) -> None:
        """The end."""
        self._notifier.flush()
        self._notifier.close()

    @property
    def _extends(self) -> bool:
        if self._phase is _Phase.RUNNING:
            return False
        return self._phase is not _Phase.STARTING or self._clock() < self._extend_until

    def _extension(self) -> dict[str, object]:
        self._extend_at = self._clock() + RENEW_EVERY_S
        return {"EXTEND_TIMEOUT_USEC": round(EXTENSION_S * 1e6)}

    def _extend(self) -> None:
        self._say(**self._extension())
        if self._told.watchdog_s:
            # An extension is one of the watchdog's too (service_extend_timeout in systemd's src/core/service.c); a sign of
            # life after it has the usual time begin anew.
            self._say(**self._ping())

    def _ping(self) -> dict[str, object]:
        if not self._told.watchdog_s:
            return {}
        # Half of the time, as sd_watchdog_enabled(3) recommends.
        self._ping_at = self._clock() + self._told.watchdog_s / 2
        return {"WATCHDOG": 1}

    def _measure(self, now: float) -> None:
        if self._status is None:
            return
        total, (before, since) = requests_of(self._status()), self._counted
        if now > since:
            self._rate = max(0, total - before) / (now - since)
            self._counted = (total, now)

    def _line(self) -> str:
        return self._said if self._status is None else status_line(self._status(), self._rate, self._failure)

    def _say(self, **fields: object) -> None:
        if not fields:
            return
        self._said = str(fields.get("STATUS", self._said))
        self._notifier.send(message(**fields))

    # The store ----------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Have systemd keep the listeners in force that were bound here, and no others."""
        if not self._told.store:
            return
        ours = [each for each in self._listeners() if each.keeper is not Keeper.UNIT and each.fileno() >= 0]
        for name, listener in list(self._stored.items()):
            if listener not in ours:
                self._forget(name)
        for listener in ours:
            if listener.keeper is Keeper.NOBODY:
                listener.name, listener.keeper = keeping_name(listener.spec, listener), Keeper.STORE
                self._notifier.send(message(FDSTORE=1, FDNAME=listener.name), [listener.fileno()])
            self._stored[listener.name] = listener

    def _forget(self, name: str) -> None:
        self._stored.pop(name, None)
        self._say(FDSTOREREMOVE=1, FDNAME=name)


def _reason(what: str, note: Note) -> str:
    stage = note.fields.get("stage")
    return f"{what}{f' ({stage})' if stage else ''}: {note.fields.get('error', '')}"
