"""Running a program again whenever its files change.

Owns: the two processes of that and what they agree on. Runs in: the process of `run_simple(use_reloader=True)` (the parent,
which only waits) and its child (which serves). Must not know: what `main` does. `prefork --dev` needs none of this: there
the master replaces a worker.

As Werkzeug has it: the child is the same command with WERKZEUG_RUN_MAIN=true; it serves in a thread, watches in the main
thread, and exits with code 3 to be started again. Listening sockets are the parent's and inherited by every child, so nobody
is refused in between. Other than Werkzeug, a child that cannot start any more after it once could (its file does not
compile, say) is no end: the parent waits for the file to be mended.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from types import FrameType
from typing import NoReturn

from prefork.dev.command import command_line
from prefork.dev.files import FileSet
from prefork.dev.stop import Stop
from prefork.dev.watcher import INTERVAL_S, Kind, Watcher

EXIT_RELOAD = 3
"""The child asks to be started again. Werkzeug's number."""

RUN_MAIN = "WERKZEUG_RUN_MAIN"
"""What tells the child that it is one: applications look at it."""

_PROGRESS = "PREFORK_RELOADER_FD"
"""A pipe on which the child tells that it has come as far as `run_with_reloader`."""


def is_running_from_reloader() -> bool:
    """Whether this is the child, which serves."""
    return os.environ.get(RUN_MAIN) == "true"


def run_with_reloader(
    main: Callable[[], None],
    *,
    extra_files: Iterable[str] = (),
    exclude_patterns: Iterable[str] = (),
    interval_s: float = INTERVAL_S,
    reloader_type: str = "auto",
    listeners: Sequence[int] = (),
) -> None:
    """Run `main`, and run the whole program again when one of its files changes.

    In the first process this starts the child and never returns (`SystemExit` with the child's exit code, as Werkzeug). In the
    child it runs `main` in a thread. `listeners`: descriptors that every child gets under the same number. `reloader_type`:
    "auto", "stat", "watchfiles" (Werkzeug's "watchdog" is taken for "auto"). Raises `PreforkError` if
    what it asks for is missing.
    """
    kind = _kind(reloader_type)
    directories = [os.getcwd(), *(os.path.abspath(each) for each in sys.path[:1] if each)]  # noqa: PTH100, PTH109
    files = FileSet(directories, extra_files, exclude_patterns)
    watcher = Watcher(files, interval_s, kind)
    if is_running_from_reloader():
        _serve_and_watch(main, watcher)
    code = _Parent(watcher, listeners).run()
    raise SystemExit(code)


def _kind(name: str) -> Kind:
    if name in ("stat", "watchfiles"):
        return name  # type: ignore[return-value]  # mypy does not narrow a str to a Literal by membership
    if name in ("auto", "watchdog"):
        return "auto"
    raise ValueError(f'reloader_type = {name!r}: must be "auto", "stat" or "watchfiles"')


# the child ----------------------------------------------------------------------------------------------------------------


def _serve_and_watch(main: Callable[[], None], watcher: Watcher) -> NoReturn:
    stop = Stop()

    def on_end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    # Ctrl-C goes to the whole group of processes and may come between any two lines here: a KeyboardInterrupt would be a
    # traceback. From its start until now this process has held it back (`_Parent._run_child`).
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, on_end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _tell_progress()
    threading.Thread(target=main, name="prefork-main", daemon=True).start()
    change = watcher.wait(stop)
    if change is None:
        raise SystemExit(0)
    print(f" * Detected change in {change}, reloading", file=sys.stderr, flush=True)  # noqa: T201
    sys.stdout.flush()
    raise SystemExit(EXIT_RELOAD)


def _tell_progress() -> None:
    fd = os.environ.pop(_PROGRESS, "")
    if fd.isdigit():
        try:
            os.write(int(fd), b"1")
            os.close(int(fd))
        except OSError:  # the parent is gone
            pass


# the parent ---------------------------------------------------------------------------------------------------------------


class _Parent:
    """Starts children, one after the other."""

    def __init__(self, watcher: Watcher, listeners: Sequence[int]) -> None:
        self._watcher = watcher
        self._listeners = tuple(listeners)
        self._stop = Stop()
        self._child: int | None = None
        self._worked_once = False

    def run(self) -> int:
        """Until a child ends for good; returns its exit code."""
        before = {each: signal.signal(each, self._on_signal) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            print(" * Restarting when a file changes", file=sys.stderr, flush=True)  # noqa: T201
            while True:
                code, arrived = self._run_child()
                self._worked_once = self._worked_once or arrived
                if self._stop.is_set():
                    return 0
                if code == EXIT_RELOAD:
                    continue
                if code == 0 or arrived or not self._worked_once:
                    return code
                print(  # noqa: T201
                    f" * The program ended with exit code {code}; waiting for a file to change",
                    file=sys.stderr,
                    flush=True,
                )
                if self._watcher.wait(self._stop) is None:
                    return 0
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _run_child(self) -> tuple[int, bool]:
        """Exit code as a shell has it, and whether it came as far as serving."""
        # What the parent saw before this moment is in the child's own look.
        self._watcher.look()
        reading, writing = os.pipe()
        environment = {**os.environ, RUN_MAIN: "true", _PROGRESS: str(writing)}
        command = command_line()
        for fd in (*self._listeners, writing):
            os.set_inheritable(fd, True)
        try:
            # Ctrl-C is this process's to hear: while a child imports, it would only be a traceback from somewhere inside.
            held_back = signal.pthread_sigmask(signal.SIG_BLOCK, ()) | {signal.SIGINT}
            self._child = os.posix_spawnp(command[0], command, environment, setsigmask=held_back)
        finally:
            os.close(writing)
        if self._stop.is_set():  # the signal came just before there was anybody to hand it to
            self._hand_on()
        _, status = os.waitpid(self._child, 0)
        self._child = None
        arrived = os.read(reading, 1) != b""
        os.close(reading)
        code = os.waitstatus_to_exitcode(status)
        return (code if code >= 0 else 128 - code), arrived

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stop.set()
        self._hand_on()

    def _hand_on(self) -> None:
        if self._child is not None:
            try:
                os.kill(self._child, signal.SIGTERM)
            except ProcessLookupError:
                pass
