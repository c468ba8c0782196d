"""Starting a zygote.

Owns: its command line, environment and inherited descriptors. Runs in: master. Must not know: what a zygote does, when one
is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from prefork import systemd
from prefork.errors import BootError
from prefork.identity import Identity, login_environment
from prefork.ipc.boot import Boot
from prefork.ipc.channel import Channel
from prefork.master.processes import Processes
from prefork.master.stacks import Stacks
from prefork.net.material import Material
from prefork.settings.model import Settings

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
    socket.socket(fileno=int(sys.argv[1])).send(json.dumps(message).encode())
    sys.exit(3)
main()
"""
"""`python -c` puts the current directory first in sys.path: it goes before anything is imported, for it is the user's, and
may hold a `logging.py` or a `socket.py` of theirs. If that Python cannot import prefork, the master is told so. The collector
is off until all of ours are imported: that makes no garbage."""

STEP_DOWN = """\
import json, os, socket, sys
uid, gid, groups = sys.argv[1:4]
try:
    os.setgroups([int(each) for each in groups.split(",") if each])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    os.execvp(sys.argv[4], sys.argv[4:])
except OSError as error:
    text = f"cannot run {sys.argv[4]} as user id {uid}, group id {gid}: {error.strerror}"
    message = {"type": "zygote_failed", "v": 1, "stage": "privileges", "error": text}
    socket.socket(fileno=int(sys.argv[-2])).send(json.dumps(message).encode())
    sys.exit(3)
"""
"""Run by our own interpreter, isolated and without site-packages (-I -S), to become the application's user and execute the
Python of `[app] python`. Else that would start as root, and with it every .pth file and sitecustomize that this user may
write. Our own interpreter has run its own as root already: there the zygote steps down by itself."""

_SOURCE = Path(__file__).parents[2]


class Launched(msgspec.Struct, frozen=True):
    """A zygote process that has just been started, and the master's ties to it."""

    pid: int
    channel: Channel
    stacks: Stacks


def launch(
    processes: Processes,
    generation: int,
    settings: Settings,
    *,
    identity: Identity,
    listeners: Sequence[tuple[int, str]] = (),
    log_fd: int = 2,
    access_fd: int | None = None,
    slow_fd: int | None = None,
    baton_fd: int | None = None,
    scoreboard_fd: int | None = None,
    metrics: tuple[int, int] | None = None,
    tls: Material | None = None,
    trial: bool = False,
) -> Launched:
    """Start the zygote of a generation. `metrics`: a memfd, and where in it the zygote counts. Raises BootError (stage "python")
    if that fails."""
    ours, theirs = Channel.pair()
    stacks = Stacks.create()
    metrics_fd, metrics_at = metrics if metrics is not None else (None, -1)
    boot = Boot(
        generation=generation,
        master_pid=os.getpid(),
        settings=msgspec.Raw(msgspec.json.encode(settings)),
        name=settings.server.name,
        listeners=list(listeners),
        tls=msgspec.Raw(msgspec.json.encode(tls)),
        log_fd=log_fd,
        access_fd=access_fd,
        slow_fd=slow_fd,
        baton_fd=baton_fd,
        scoreboard_fd=scoreboard_fd,
        metrics_fd=metrics_fd,
        metrics_at=metrics_at,
        stacks_fd=stacks.fd,
        uid=identity.uid,
        gid=identity.gid,
        groups=list(identity.groups),
        trial=trial,
    )
    boot_fd = os.memfd_create("prefork-boot")
    python = settings.app.python or sys.executable
    # Ours may run from a source tree that only our own sys.path knows.
    root = "" if settings.app.python else str(_SOURCE)
    command = [python, "-c", BOOTSTRAP, root, str(theirs.fileno()), str(boot_fd)]
    if settings.app.python and not identity.is_current:
        ids = [str(identity.uid), str(identity.gid), ",".join(map(str, identity.groups))]
        command = [sys.executable, "-I", "-S", "-c", STEP_DOWN, *ids, *command]
    inherit = [0, 1, 2, theirs.fileno(), boot_fd, stacks.fd, log_fd, *(fd for fd, _ in listeners)]
    inherit += [fd for fd in (access_fd, slow_fd, baton_fd, scoreboard_fd, metrics_fd) if fd is not None]
    try:
        os.write(boot_fd, msgspec.json.encode(boot))
        pid = processes.spawn(command, _environment(settings, identity), inherit)
    except OSError as error:
        ours.close()
        stacks.close()
        raise BootError("python", f"cannot start {python}: {error.strerror}") from error
    finally:
        theirs.close()
        os.close(boot_fd)
    return Launched(pid, ours, stacks)


def environment_for_children() -> dict[str, str]:
    """Ours, without what is for the main process alone."""
    return {name: value for name, value in os.environ.items() if name not in systemd.VARIABLES}


def _environment(settings: Settings, identity: Identity) -> dict[str, str]:
    said: dict[str, str | None] = {
        **environment_for_children(),
        **login_environment(identity),
        **settings.app.env,
    }
    return {name: value for name, value in said.items() if value is not None}
