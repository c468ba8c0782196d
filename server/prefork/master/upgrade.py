"""Upgrading prefork itself: the master executes its program anew, as the same process.

Owns: the trial of the new program, and the exec. Runs in: master. Must not know: when an upgrade may happen (see `plan`), what
the document says (see `handover`).

Exec keeps the pid, the children, the tie that makes orphans ours (prctl(2), PR_SET_CHILD_SUBREAPER), the signal mask and what
is pending, and every descriptor that is not close-on-exec; the children's PR_SET_PDEATHSIG does not fire, for nobody dies.
Handlers go: a signal in between would end the process, so all of ours are blocked until the new program has its own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

import msgspec

from prefork.master.events import UpgradeRefused, UpgradeTried
from prefork.master.handover import Handover, write
from prefork.master.processes import Processes
from prefork.master.signals import HANDLED
from prefork.master.state import Failure
from prefork.variables import HANDOVER

TRIAL_GRACE_S = 10.0
"""For a trial, besides the time that the application's import may take."""

_LONGEST = 32 * 1024


class Program(msgspec.Struct, frozen=True):
    """How this process was started, and how the same program would be asked whether it could."""

    executable: str
    run: Sequence[str]
    """Arguments, after the executable."""
    check: Sequence[str]


class Upgrade:
    """The effects of an upgrade."""

    def __init__(
        self,
        processes: Processes,
        program: Program | None,
        describe: Callable[[Sequence[int]], Handover],
        environ: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`describe` is given the connections of those who wait for the end of the upgrade. `environ`: variables that only the
        next program gets, for it is this process."""
        self._processes = processes
        self._program = program
        self._describe = describe
        self._environ = environ
        self._output: int | None = None

    def begin(self, boot_timeout_s: float, now: float) -> UpgradeTried | UpgradeRefused:
        """Start the new program in a child, only to see whether it could take over."""
        if self._program is None:
            return UpgradeRefused(
                Failure("command", "nobody knows with which command this server was started")
            )
        try:
            state = write(self._describe(()))
            output = os.memfd_create("prefork-upgrade-trial")
        except OSError as error:
            return UpgradeRefused(Failure("trial", f"no memory for it: {error.strerror}"))
        command = [self._program.executable, *self._program.check]
        try:
            pid = self._processes.spawn(
                command, {**os.environ, HANDOVER: str(state)}, [0, state], {1: output, 2: output}
            )
        except OSError as error:
            os.close(output)
            return UpgradeRefused(Failure("trial", f"cannot start {command[0]}: {error.strerror}"))
        finally:
            os.close(state)
        self._output = output
        return UpgradeTried(pid, now + boot_timeout_s + TRIAL_GRACE_S)

    def output(self) -> str:
        """What the trial said; to be asked once."""
        if self._output is None:
            return ""
        data = os.pread(self._output, _LONGEST, max(0, os.fstat(self._output).st_size - _LONGEST))
        os.close(self._output)
        self._output = None
        return data.decode("utf-8", "replace").rstrip()

    def execute(self, last_orders: Callable[[], Sequence[int] | None]) -> UpgradeRefused:
        """Become the new program; returns only if that fails, and then everything is as before.

        `last_orders` takes the signals that have arrived already (those that come later wait for the new program), and gives
        the connections of those who wait for the end of the upgrade; None: they forbid it.
        """
        assert self._program is not None, "it has been tried"
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        inherited: list[int] = []
        try:
            waiting = last_orders()
            if waiting is None:
                return UpgradeRefused(Failure("exec", "the server is to stop"))
            # The order to look for dead children may have been among them.
            self._processes.kill(os.getpid(), signal.SIGCHLD)
            handover = self._describe(waiting)
            state = write(handover)
            inherited = [state, *handover.descriptors()]
            for fd in inherited:
                os.set_inheritable(fd, True)
            arguments = [self._program.executable, *self._program.run]
            sys.stdout.flush()
            sys.stderr.flush()
            os.execve(arguments[0], arguments, {**os.environ, **self._environ(), HANDOVER: str(state)})
        except OSError as error:
            reason = f"cannot execute {self._program.executable}: {error.strerror}"
            for fd in inherited:
                os.set_inheritable(fd, False)
            if inherited:
                os.close(inherited[0])
            return UpgradeRefused(Failure("exec", reason))
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
