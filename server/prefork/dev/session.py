"""A worker of `prefork --dev`.

Owns: what it does beside serving: load the application or show why that fails, put the debugger around it, watch the files,
tell the person at the terminal. Runs in: worker. Must not know: connections, what the master does about a change.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from prefork.dev import debugger
from prefork.dev.failure import failure_application
from prefork.dev.files import FileSet
from prefork.dev.stop import Stop
from prefork.dev.urls import urls
from prefork.dev.watcher import Change, Kind, Watcher
from prefork.errors import BootError, PreforkError
from prefork.ipc.channel import Channel
from prefork.ipc.messages import CodeChanged, clip
from prefork.settings.model import Settings
from prefork.wsgi.context import WSGIApplication

_OFF = frozenset({"0", "false", "no"})
"""As Flask reads FLASK_DEBUG."""


class Session:
    """Of one worker."""

    def __init__(
        self, settings: Settings, worker_id: int, slot: int, channel: Channel, addresses: Iterable[str]
    ) -> None:
        """Before the application is imported: what changes from here on is noticed."""
        self._settings = settings
        self._worker_id = worker_id
        self._speaks = slot == 1
        self._channel = channel
        self._addresses = tuple(addresses)
        # A file that is edited twice in a second without a change of its size looks unchanged to the cache of bytecode
        # (PEP 3147: it compares whole seconds).
        sys.dont_write_bytecode = True
        importlib.invalidate_caches()
        self._whole = {*settings.dev.restart, *(os.path.abspath(each) for each in settings.dev.env_files)}  # noqa: PTH100
        if worker_id == 1:
            secure = any(each.tls for each in settings.server.listen)
            _say(f"development server: {', '.join(urls(self._addresses, secure=secure))} (Ctrl-C stops it)")
        if settings.dev.reload != "off":
            self._watch(settings.dev.reload)

    def load(self, load: Callable[[], WSGIApplication]) -> WSGIApplication:
        """What `load` gives, with the debugger around it; or what tells why it raised."""
        try:
            application = load()
        except BootError as error:
            return self._failed(error)
        return self._debugged(application)

    def _failed(self, error: BootError) -> WSGIApplication:
        ends = "" if self._settings.dev.reload == "off" else "; waiting for a file to change"
        if self._speaks:
            _say(f"{error.error}{ends}", error.traceback)
        return failure_application(self._settings.app.target, error.error, error.traceback)

    def _debugged(self, application: WSGIApplication) -> WSGIApplication:
        settings = self._settings
        if not settings.dev.debugger or os.environ.get("FLASK_DEBUG", "1").lower() in _OFF:
            return application
        problem = ""
        if settings.workers.count != 1:
            problem = "the debugger is off: it keeps the frames of an error in one process, and workers.count is not 1"
        elif not debugger.is_available():
            problem = "the debugger is off: it is Werkzeug's, which is not installed (pip install werkzeug)"
        if problem:
            if self._worker_id == 1:
                _say(problem)
            return application
        wrapped = debugger.wrap(application, hosts=_hosts(self._addresses), announce=False)
        if self._worker_id == 1:
            pin = debugger.pin_of(wrapped)
            _say(
                f"debugger pin: {pin}"
                if pin
                else "the debugger has no pin: whoever reaches it can run anything"
            )
        return wrapped

    def _watch(self, kind: Kind) -> None:
        settings = self._settings
        directories = [str(Path.cwd()), *settings.app.path]
        files = FileSet(directories, [*settings.dev.watch, *self._whole], settings.dev.ignore)
        try:
            watcher = Watcher(files, kind=kind)
        except PreforkError as error:
            _say(str(error))
            watcher = Watcher(files, kind="stat")
        threading.Thread(target=self._look, args=(watcher,), name="prefork-reloader", daemon=True).start()

    def _look(self, watcher: Watcher) -> None:
        """Until the process ends: a change that comes while the application is being imported is told at once, too."""
        told = False
        never = Stop()
        while (change := watcher.wait(never)) is not None:
            if not told and self._speaks:
                _say(f"{change} changed, reloading")
            told = True
            whole = self._is_whole(change)
            self._channel.send(
                CodeChanged(worker_id=self._worker_id, files=clip(str(change), 2000), whole=whole)
            )

    def _is_whole(self, change: Change) -> bool:
        return change.installed or not self._whole.isdisjoint(change.files)


def _hosts(addresses: Iterable[str]) -> list[str]:
    return [address.rpartition(":")[0] for address in addresses if not address.startswith("unix:")]


def _say(text: str, more: str = "") -> None:
    """To the person at the terminal; in one piece, for others write there too."""
    lines = f" * {text}\n"
    if more:
        lines = f"{more.rstrip()}\n{lines}"
    try:
        sys.stderr.write(lines)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        # The terminal is gone, or the application has closed stderr.
        return
