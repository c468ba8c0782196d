"""Several processes that serve one listener: `processes = N`.

Owns: forking them, replacing those that die, their end. Runs in: the developer's process, the thread that serves, and in the
forked ones until they serve. Must not know: what they serve.

They are forked when the server starts and stay, each with a copy of the application of its own. When the last copy of a pipe's
writing end closes, they finish what runs and leave; so they also do if their parent is killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
import traceback
from collections.abc import Callable

from prefork.dev.log import DevLog

PATIENCE_S = 0.8
"""How long they have to finish, before they are killed: Ctrl-C ends everything in less than a second."""

PAUSE_S = 1.0
"""Until a process that died soon is replaced."""

Serve = Callable[[int, int], None]
"""(descriptor to watch for the end, eventfd that all share): serves until the end of the former."""


class Processes:
    """The pool. `run` and `close` in the thread that serves, `stop` in any."""

    def __init__(self, count: int, serve: Serve, log: DevLog) -> None:
        self._count = count
        self._serve = serve
        self._log = log
        self._began: dict[int, float] = {}  # pid -> when, monotonic seconds
        self._due: list[float] = [0.0] * count  # when the missing ones may be forked
        self._ended_fd, self._alive_fd = os.pipe()
        self._stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._baton_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def run(self, poll_interval_s: float) -> None:
        """Until `stop`. Looks after its processes every `poll_interval_s` seconds."""
        poll = select.poll()
        poll.register(self._stop_fd, select.POLLIN)
        while True:
            self._fill_up()
            if poll.poll(poll_interval_s * 1000):
                return
            self._collect()

    def stop(self) -> None:
        """Ends `run`. Any thread, before `close`."""
        os.eventfd_write(self._stop_fd, 1)

    def close(self) -> None:
        """Ends the processes and gives everything back."""
        os.close(self._alive_fd)
        end = time.monotonic() + PATIENCE_S
        pause_s = 0.001
        while self._began and time.monotonic() < end:
            self._collect(tell=False)
            if self._began:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.02)
        for pid in self._began:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._began.clear()
        for fd in (self._ended_fd, self._stop_fd, self._baton_fd):
            os.close(fd)

    def _fill_up(self) -> None:
        now = time.monotonic()
        later = [due for due in self._due if due > now]
        for _ in range(len(self._due) - len(later)):
            self._fork()
        self._due = later

    def _fork(self) -> None:
        pid = os.fork()
        if pid:
            self._began[pid] = time.monotonic()
            return
        status = 1
        try:
            os.close(self._alive_fd)
            # Ctrl-C goes to all processes of the terminal; it is the parent who ends.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._serve(self._ended_fd, self._baton_fd)
            status = 0
        except BaseException as error:  # noqa: BLE001 - told, and the end of this process
            with contextlib.suppress(BaseException):
                text = "".join(traceback.format_exception(error))
                self._log.error("process_failed", error=type(error).__name__, traceback=text, exception=error)
        finally:
            # Not the parent's exit handlers, and not its half of this stack.
            os._exit(status)

    def _collect(self, *, tell: bool = True) -> None:
        for pid, began in list(self._began.items()):
            try:
                found, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                found, status = pid, 0  # somebody else has collected it
            if found:
                del self._began[pid]
                now = time.monotonic()
                self._due.append(now if now - began > PAUSE_S else now + PAUSE_S)
                if tell:
                    self._log.warning("process_ended", pid=pid, how=_how(status))


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name
