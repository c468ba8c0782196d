"""Starting a zygote.

Owns: whose interpreter and user it has, its environment, and what it is told (`newborn` is how it is born). Runs in: master.
Must not know: what a zygote does, when one is needed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from prefork.errors import BootError
from prefork.identity import Identity, login_environment
from prefork.ipc.boot import Boot
from prefork.ipc.channel import MAX_FDS, Channel
from prefork.ipc.messages import Begin
from prefork.master.newborn import BLOCKED, Newborn, bear, forget_ahead, take_ahead
from prefork.master.processes import Processes
from prefork.master.spare import Spare
from prefork.master.stacks import Stacks
from prefork.net.material import Material
from prefork.settings.model import Settings
from prefork.variables import environment_for_children

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
    spare: Spare | None = None,
) -> Launched:
    """Start the zygote of a generation. `metrics`: a memfd, and where in it the zygote counts. `spare`: it may come from there,
    and keeps another one. Raises BootError (stage "python") if that fails."""
    environment = _environment(settings, identity)
    if spare is not None and settings.app.python is not None:
        spare.end()
        spare = None
    newborn = spare.take(environment) if spare is not None else None
    if newborn is None:
        newborn = _born(processes, settings, identity, environment)
    channel = Channel.from_fd(newborn.channel_fd)
    if spare is not None:
        name = settings.server.name
        spare.ask(channel, environment, f"prefork: spare [{name}]" if name else "prefork: spare")
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
    fds = [stacks.fd, log_fd, *(fd for fd, _ in listeners)]
    fds += [fd for fd in (access_fd, slow_fd, baton_fd, scoreboard_fd, metrics_fd) if fd is not None]
    try:
        told = _tell(channel, boot, fds)
    except OSError as error:
        processes.kill(newborn.pid, signal.SIGKILL)
        processes.wait(newborn.pid)
        channel.close()
        stacks.close()
        raise BootError("python", f"cannot tell a zygote what it is to do: {error.strerror}") from error
    if not told:
        # It has died at once; or else it will now. Its end is seen as any other.
        processes.kill(newborn.pid, signal.SIGKILL)
    return Launched(newborn.pid, channel, stacks)


def _born(
    processes: Processes, settings: Settings, identity: Identity, environment: Mapping[str, str]
) -> Newborn:
    """The interpreter, which imports prefork by itself. Raises BootError."""
    python = settings.app.python
    ahead = take_ahead(environment) if python is None else None
    if ahead is not None:
        return ahead
    forget_ahead()
    step_down: list[str] = []
    if python is not None and not identity.is_current:
        ids = [str(identity.uid), str(identity.gid), ",".join(map(str, identity.groups))]
        step_down = [sys.executable, "-I", "-S", "-c", STEP_DOWN, *ids]
    try:
        return bear(
            lambda command, variables, inherit: processes.spawn(command, variables, inherit, blocked=BLOCKED),
            environment,
            python,
            step_down,
        )
    except OSError as error:
        raise BootError("python", f"cannot start {python or sys.executable}: {error.strerror}") from error


def _tell(channel: Channel, boot: Boot, fds: Iterable[int]) -> bool:
    """The document and the descriptors, as many in each packet as it takes. The standard streams it has."""
    boot_fd = os.memfd_create("prefork-boot")
    try:
        os.write(boot_fd, msgspec.json.encode(boot))
        targets = sorted({boot_fd, *fds} - {0, 1, 2})
        parts = [targets[at : at + MAX_FDS] for at in range(0, len(targets), MAX_FDS)]
        return all(
            channel.send(Begin(targets=part, boot=boot_fd, more=part is not parts[-1]), part)
            for part in parts
        )
    finally:
        os.close(boot_fd)


def _environment(settings: Settings, identity: Identity) -> dict[str, str]:
    said: dict[str, str | None] = {
        **environment_for_children(),
        **login_environment(identity),
        **settings.app.env,
    }
    return {name: value for name, value in said.items() if value is not None}
