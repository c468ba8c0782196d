"""Waiting until a file of the program changes.

Owns: the two ways to notice (the kernel's, through watchfiles; looking again and again), and that nothing which happened since
the watcher was made is missed. Runs in: a worker of `prefork --dev`, and the processes of `run_simple`. Must not know: what
is done about a change.

Made before the application is imported: what changes while it is being imported counts.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from prefork.dev.files import GONE, FileSet, Stamp, differences, stamp_of, stamps
from prefork.dev.stop import Stop
from prefork.errors import PreforkError

INTERVAL_S = 0.1
"""Between two looks. A look at a thousand files takes 2 ms."""

WALK_S = 1.0
"""Between two searches for new files."""

INSTALLED_S = 2.0
"""Between two looks at installed files."""

LISTEN_S = 0.5
"""Between two looks while the kernel tells nothing: it was not asked before the first look."""

SETTLE_S = 0.02
"""An editor may write a file in several steps: it is looked at again until it rests so long."""

Kind = Literal["auto", "stat", "watchfiles"]


class Change(msgspec.Struct, frozen=True):
    """Something is not as it was."""

    files: tuple[str, ...]
    installed: bool
    """Among them are files of installed packages."""

    def __str__(self) -> str:
        names = [os.path.relpath(path) for path in self.files[:3]]
        names = [
            name if not name.startswith("..") else path for name, path in zip(names, self.files, strict=False)
        ]
        more = f" and {len(self.files) - 3} more" if len(self.files) > 3 else ""
        return ", ".join(names) + more


def has_watchfiles() -> bool:
    """Whether the library is installed."""
    from importlib.util import find_spec

    return find_spec("watchfiles") is not None


class Watcher:
    """Knows how the files were when it was made."""

    def __init__(
        self,
        files: FileSet,
        interval_s: float = INTERVAL_S,
        kind: Kind = "auto",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `PreforkError` if `kind` asks for a library that is not there."""
        if kind == "watchfiles" and not has_watchfiles():
            raise PreforkError(
                "watchfiles is not installed: pip install 'prefork[dev]', or watch with \"stat\""
            )
        self._files = files
        self._interval_s = interval_s
        self._clock = clock
        self._events = kind == "watchfiles" or (kind == "auto" and has_watchfiles())
        self._own: dict[str, Stamp] = stamps(files.own())
        self._installed: dict[str, Stamp] = {}
        self._walk_at = clock() + WALK_S
        self._installed_at = clock()
        self._told: Iterator[object] | None = None
        self._born_ns = time.time_ns()

    def wait(self, stop: Stop) -> Change | None:
        """Until something changes (what it was), or `stop` is set (None)."""
        while not stop.is_set():
            change = self.look()
            if change is not None:
                return self._settled(change, stop)
            if self._events:
                self._wait_for_kernel(stop)
            else:
                stop.wait(self._interval_s)
        return None

    def look(self) -> Change | None:
        """What has changed since it was looked at last."""
        now = self._clock()
        if now >= self._walk_at:
            self._walk_at = now + WALK_S
            self._find_new()
        changed = differences(self._own, list(self._own))
        if changed:
            self._own.update(stamps(changed))
            return Change(tuple(sorted(changed)), installed=False)
        if now >= self._installed_at:
            self._installed_at = now + INSTALLED_S
            found = self._files.installed()
            changed = differences(self._installed, found)
            self._installed = stamps(found)
            if changed:
                return Change(tuple(sorted(changed)), installed=True)
        return None

    def _find_new(self) -> None:
        """Modules imported since, and files that somebody made: a later change of theirs counts. That one is new does not,
        until it is imported; unless it was written after the watcher was made and is imported already."""
        for path in self._files.own():
            if path not in self._own:
                stamp = stamp_of(path)
                late = self._born_ns < stamp[0] <= time.time_ns()
                self._own[path] = GONE if late and _is_imported(path) else stamp
                self._told = None  # perhaps in a directory that is not watched yet

    def _settled(self, change: Change, stop: Stop) -> Change:
        """Wait until nothing else comes."""
        files = set(change.files)
        for _ in range(25):
            stop.wait(SETTLE_S)
            more = differences(self._own, list(self._own))
            if not more:
                break
            self._own.update(stamps(more))
            files.update(more)
        return Change(tuple(sorted(files)), change.installed)

    def _wait_for_kernel(self, stop: Stop) -> None:
        """Until the kernel tells of something, or it is time to look anyway: what it tells is no more than a reason to look."""
        if self._told is None:
            self._told = _kernel_events(self._files.roots(), stop)
        if next(self._told, None) is None:
            # The directories are gone, or `stop` is set.
            self._told = None
            stop.wait(self._interval_s)


def _kernel_events(roots: list[str], stop: Stop) -> Iterator[object]:
    """One item whenever something happens in these directories, and now and then without that."""
    import watchfiles

    try:
        yield from watchfiles.watch(
            *roots,
            watch_filter=None,
            debounce=200,
            step=int(SETTLE_S * 1000),
            rust_timeout=int(LISTEN_S * 1000),
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=False,
            recursive=False,
            ignore_permission_denied=True,
        )
    except OSError:
        # A directory has just been removed, or the user has no inotify watches left (fs.inotify.max_user_watches).
        return


def _is_imported(path: str) -> bool:
    return any(getattr(module, "__file__", None) == path for module in list(sys.modules.values()))
