"""The only place of the master that signals and waits for processes, and with `spawning` that starts them.

Owns: kill, waitid and prctl, behind `Processes` so that everything else is tested without processes.
Runs in: master. Must not know: generations, slots, settings.

Why pids are safe here: a pid stays taken until its zombie is collected, and only this module does that for
the master's children (workers are among them: it is a child subreaper). Whoever drops a pid from the tables in the same
turn in which it collects it can never signal a stranger; pidfds would add nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from prefork.master import spawning

_PR_SET_CHILD_SUBREAPER = 36


class Exit(msgspec.Struct, frozen=True):
    """How a process ended: one of the two is set."""

    pid: int
    code: int | None = None
    signal: int | None = None
    peak_memory: int = 0
    """Bytes that were resident at its largest, or that of a program it ran (getrusage(2), ru_maxrss); 0: unknown."""
    cpu_s: float = 0.0
    """Processor time it has used, user and system."""

    def __eq__(self, other: object) -> bool:
        """What it has used is no part of how it ended."""
        if not isinstance(other, Exit):
            return NotImplemented
        return (self.pid, self.code, self.signal) == (other.pid, other.code, other.signal)

    def __hash__(self) -> int:
        return hash((self.pid, self.code, self.signal))

    def __str__(self) -> str:
        if self.signal is not None:
            return f"signal {self.signal} ({_signal_name(self.signal)})"
        return f"exit code {self.code}"


class Processes(Protocol):
    """What the supervisor needs from the system."""

    def spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        inherit: Iterable[int],
        streams: Mapping[int, int] | None = None,
        blocked: Iterable[int] = (),
    ) -> int:
        """Start a program that inherits the descriptors `inherit` under their numbers; returns its pid.

        `streams`: its standard streams, as descriptors of ours; `blocked`: signals that it must let in itself.
        """

    def kill(self, pid: int, number: int) -> None:
        """Send a signal to a child that has not been collected."""

    def reap(self, learn: Callable[[], None]) -> list[Exit]:
        """Collect all children that have ended; see `SystemProcesses.reap`."""

    def wait(self, pid: int) -> Exit:
        """Block until this child has ended, and collect it."""

    def become_subreaper(self) -> None:
        """Adopt orphaned descendants."""


class SystemProcesses:
    """The real ones."""

    def spawn(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        inherit: Iterable[int],
        streams: Mapping[int, int] | None = None,
        blocked: Iterable[int] = (),
    ) -> int:
        """See `spawning.spawn`. Raises OSError."""
        return spawning.spawn(command, environment, inherit, streams, blocked)

    def kill(self, pid: int, number: int) -> None:
        """Send a signal. A zombie takes it silently (kill(2)), so nothing can go wrong before the pid is collected."""
        os.kill(pid, number)

    def reap(self, learn: Callable[[], None]) -> list[Exit]:
        """Collect every child that has ended; `learn` reads all messages before each is collected.

        A worker is announced by a message that was written before it could become our child, and may have left last words
        of its own. Who is unknown after that is a stranger (a program of the application's that outlived its worker;
        anything at all, for PID 1 of a container). Strangers are collected like everybody else.
        """
        ended: list[Exit] = []
        while True:
            # WNOWAIT: look without collecting.
            pid = _next_zombie()
            if pid is None:
                return ended
            learn()
            ended.append(self.wait(pid))

    def wait(self, pid: int) -> Exit:
        """Block until this child has ended, and collect it."""
        _, status, usage = os.wait4(pid, 0)
        peak = usage.ru_maxrss * 1024
        cpu_s = usage.ru_utime + usage.ru_stime
        if os.WIFEXITED(status):
            return Exit(pid, code=os.WEXITSTATUS(status), peak_memory=peak, cpu_s=cpu_s)
        return Exit(pid, signal=os.WTERMSIG(status), peak_memory=peak, cpu_s=cpu_s)

    def become_subreaper(self) -> None:
        """Orphaned descendants become children of this process instead of init (prctl(2)). Raises OSError.

        The setting survives exec and is not inherited by children.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        # Without argtypes, variadic arguments of C would have an undefined width.
        libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"PR_SET_CHILD_SUBREAPER: {os.strerror(number)}")


def _next_zombie() -> int | None:
    try:
        result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if result is None else result.si_pid


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time" if signal.SIGRTMIN <= number <= signal.SIGRTMAX else "unknown"
