"""An interpreter that becomes a zygote: it is born with a channel, imports prefork, and waits to be told everything else.

Owns: its command line and birth, and the one that is born ahead: before the master has imported itself and read the settings, so
that both import at the same time. Runs in: master, from its first moment: imports next to nothing. Must not know: settings, what
the zygote is told (see `launch`).
"""

from __future__ import annotations

import _socket
import os
import sys

from prefork.master import spawning
from prefork.master.spawning import SIGINT
from prefork.variables import HANDOVER, environment_for_children

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BOOTSTRAP = """\
import gc, sys
gc.disable()
if sys.path and not sys.path[0]:
    del sys.path[0]
root = sys.argv.pop(1)
if root and root not in sys.path:
    sys.path.append(root)
try:
    from prefork.zygote.main import main
except (ImportError, SyntaxError) as error:
    import json, socket
    text = f"prefork cannot be imported by {sys.executable} (Python {sys.version.split()[0]}): {error}"
    message = {"type": "zygote_failed", "v": 1, "stage": "python", "error": text}
    try:
        socket.socket(fileno=int(sys.argv[1])).send(json.dumps(message).encode(), socket.MSG_NOSIGNAL)
    except OSError:
        pass
    sys.exit(3)
main()
"""
"""`python -c` puts the current directory first in sys.path: it goes before anything is imported, for it is the user's, and
may hold a `logging.py` or a `socket.py` of theirs. If that Python cannot import prefork, the master is told so. The collector
is off until all of ours are imported: that makes no garbage."""

NO_BOOT_FD = "-1"
"""What the zygote is told comes over its channel."""

BLOCKED = (SIGINT,)
"""Ctrl-C in a terminal is for the whole foreground group: a traceback from the middle of an import helps nobody. A zygote lets it
in when it has a handler that does nothing."""

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
"""Ours may run from a source tree that only our own sys.path knows."""


class Newborn:
    """Its pid, and our end of its channel (a descriptor, close-on-exec)."""

    __slots__ = ("channel_fd", "pid")

    def __init__(self, pid: int, channel_fd: int) -> None:
        self.pid = pid
        self.channel_fd = channel_fd


def bear(
    spawn: Callable[[Sequence[str], Mapping[str, str], Sequence[int]], int],
    environment: Mapping[str, str],
    python: str | None = None,
    step_down: Sequence[str] = (),
) -> Newborn:
    """Start one. `python`: another interpreter than ours, `step_down`: a command line that executes it. Raises OSError."""
    # Not `socket`: to import it takes 5 ms, half as long as the interpreter that is to be started.
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    command = [python or sys.executable, "-c", BOOTSTRAP, "" if python else SOURCE]
    command += [str(theirs.fileno()), NO_BOOT_FD]
    try:
        pid = spawn([*step_down, *command], environment, [0, 1, 2, theirs.fileno()])
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Newborn(pid, ours.detach())


class _Ahead:
    """The one that was born ahead, and the environment it has."""

    def __init__(self) -> None:
        self.born: Newborn | None = None
        self.environment: Mapping[str, str] = {}


_ahead = _Ahead()


def bear_ahead() -> None:
    """Start an interpreter that a master of this process will need, if its settings ask for no other.

    Not for a master that takes over from another program: its zygotes are there.
    """
    if HANDOVER in os.environ or _ahead.born is not None:
        return
    spawning.keep_from_children()
    _ahead.environment = environment_for_children()
    try:
        _ahead.born = bear(
            lambda command, variables, inherit: spawning.spawn(command, variables, inherit, blocked=BLOCKED),
            _ahead.environment,
        )
    except OSError:
        # It will be tried again, and then be told.
        return


def take_ahead(environment: Mapping[str, str]) -> Newborn | None:
    """The one that was born ahead, if it has exactly this environment; our own interpreter is taken for granted.

    Exactly: the interpreter itself, .pth files and sitecustomize have read it by now.
    """
    if _ahead.born is None or environment != _ahead.environment:
        return None
    born, _ahead.born = _ahead.born, None
    return born


def forget_ahead() -> None:
    """End the one that was born ahead, if nobody has taken it. It has done nothing but import prefork."""
    born, _ahead.born = _ahead.born, None
    if born is not None:
        os.close(born.channel_fd)
        spawning.end(born.pid)
