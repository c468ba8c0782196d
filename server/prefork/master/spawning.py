"""Starting a program, and ending one that nobody has heard of yet.

Owns: posix_spawn, and which descriptors a child does not get. Runs in: master, from its first moment: imports next to nothing.
Must not know: what the programs are.
"""

from __future__ import annotations

import os
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_signal = import_module("_signal")
"""The part of `signal` that is written in C. The other makes an Enum of it: 3 ms in which no zygote is started."""

SIGINT: int = _signal.SIGINT


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    inherit: Iterable[int],
    streams: Mapping[int, int] | None = None,
    blocked: Iterable[int] = (),
) -> int:
    """Start `command[0]` (a path, or a name looked up in PATH) with a clean signal state, but for signals that are `blocked`.
    Returns its pid. Raises OSError.

    Everything of ours is close-on-exec. dup2 of a descriptor onto itself in a file action clears that flag in the
    child alone (POSIX.1-2024 posix_spawn_file_actions_adddup2, glibc >= 2.29, musl).
    """
    actions = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in sorted(set(inherit))]
    actions += [(os.POSIX_SPAWN_DUP2, fd, stream) for stream, fd in (streams or {}).items()]
    return os.posix_spawnp(
        command[0],
        list(command),
        dict(environment),
        file_actions=actions,
        setsigmask=blocked,
        setsigdef=_signal.valid_signals(),
    )


def end(pid: int) -> None:
    """Kill a child of ours that nobody knows, and collect it."""
    os.kill(pid, _signal.SIGKILL)
    os.waitpid(pid, 0)


def keep_from_children() -> None:
    """Mark descriptors that came from whoever started us close-on-exec: they are none of the application's business."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, not paths
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                # The descriptor of the listing itself is closed by now.
                continue
