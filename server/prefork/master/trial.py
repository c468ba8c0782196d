"""Would the application import? A zygote that never forks finds out.

Owns: one attempt, from start to collected child. Runs in: cli (`prefork check`). Must not know: the pool.
"""

from __future__ import annotations

import signal
import time
from enum import Enum, auto

from prefork.errors import BootError
from prefork.identity import resolve
from prefork.ipc.boot import STACKS_SIGNAL
from prefork.ipc.channel import Channel, ChannelError
from prefork.ipc.messages import ZygoteFailed, ZygoteReady
from prefork.master.launch import launch
from prefork.master.processes import Processes, SystemProcesses
from prefork.master.state import DUMP_GRACE_S, EXIT_GRACE_S
from prefork.settings.model import Settings


class _End(Enum):
    TIMEOUT = auto()
    DIED = auto()


def try_application(settings: Settings, processes: Processes | None = None) -> None:
    """Import the application in a child, exactly as a zygote would, within `boot_timeout`.

    Raises BootError with the application's traceback, ConfigError for a user that does not exist.
    """
    processes = processes or SystemProcesses()
    identity = resolve(settings.server.user, settings.server.group)
    launched = launch(processes, 0, settings, identity=identity, trial=True)
    outcome: ZygoteReady | ZygoteFailed | _End = _End.TIMEOUT
    try:
        outcome = _outcome(launched.channel, settings.workers.boot_timeout)
        if outcome is _End.TIMEOUT:
            processes.kill(launched.pid, STACKS_SIGNAL)
            launched.channel.wait(DUMP_GRACE_S)
        elif outcome is not _End.DIED:
            # Exit handlers of the application; end of file says that they are over.
            launched.channel.wait(EXIT_GRACE_S)
    finally:
        if outcome is not _End.DIED:
            processes.kill(launched.pid, signal.SIGKILL)
        how = processes.wait(launched.pid)
        launched.channel.close()
        stacks = launched.stacks.take()
        launched.stacks.close()
    if isinstance(outcome, ZygoteFailed):
        raise BootError(outcome.stage, outcome.error, outcome.traceback)
    if outcome is _End.TIMEOUT:
        timeout_s = settings.workers.boot_timeout
        raise BootError("boot", f"the import was not over after boot_timeout = {timeout_s:g}s", stacks)
    if outcome is _End.DIED:
        raise BootError("boot", f"the process that imports {settings.app.target!r} ended: {how}", stacks)


def _outcome(channel: Channel, timeout_s: float) -> ZygoteReady | ZygoteFailed | _End:
    deadline = time.monotonic() + timeout_s
    while channel.wait(deadline - time.monotonic()):
        try:
            received = channel.receive()
        except ChannelError:
            return _End.DIED
        if received is not None and isinstance(received.message, ZygoteReady | ZygoteFailed):
            return received.message
    return _End.TIMEOUT
