"""Starting the status process.

Owns: what it is given: settings of its own, descriptors, environment; and the master's ties to it. Runs in: master. Must not
know: when one is started (see `statuskeeping`), what it does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from prefork.identity import Identity
from prefork.ipc.channel import Channel
from prefork.ipc.statusboot import StatusBoot
from prefork.master.processes import Processes
from prefork.master.resources import Resources
from prefork.master.stacks import Stacks
from prefork.settings.log import LogSettings
from prefork.settings.model import (
    AppSettings,
    RequestSettings,
    ServerSettings,
    Settings,
    WorkerSettings,
)
from prefork.variables import environment_for_children

BOOTSTRAP = """\
import sys
if sys.path and not sys.path[0]:
    del sys.path[0]
root = sys.argv.pop(1)
if root not in sys.path:
    sys.path.append(root)
from prefork.status.main import main
main()
"""
"""As for a zygote (see `launch`): the current directory, where a `logging.py` of the user's may be, is not searched."""

_SOURCE = Path(__file__).parents[2]

THREADS = 4
"""Each may wait for the master's answer, or measure memory."""

CONNECTIONS = 32
"""More than anybody has who looks at a server; idle ones make room for new ones."""


class StatusPlace(msgspec.Struct, frozen=True):
    """What a status process serves: if any of it changes, another process has to."""

    settings: Settings
    listeners: tuple[tuple[int, str], ...]
    agents: tuple[int, ...]
    identity: Identity
    log_fd: int


def place_of(resources: Resources) -> StatusPlace | None:
    """What those settings ask for; None: no status process."""
    if not resources.status_listeners:
        return None
    listeners = tuple((each.fileno(), str(each.address)) for each in resources.status_listeners)
    pages = len(resources.settings.status.listen)
    agents = tuple(fd for fd, _ in listeners[pages:])
    return StatusPlace(
        _settings(resources.settings), listeners[:pages], agents, resources.identity, resources.log_fd
    )


def _settings(settings: Settings) -> Settings:
    """Those of a worker for a handful of short requests from people and monitors, of whom none can hold it."""
    server, log = settings.server, settings.log
    return Settings(
        app=AppSettings(target="prefork.status"),
        server=ServerSettings(
            name=server.name, listen=settings.status.listen, server_header=server.server_header
        ),
        workers=WorkerSettings(count=1, threads=THREADS, connections=CONNECTIONS),
        requests=RequestSettings(
            header_timeout=5.0,
            body_timeout=5.0,
            write_timeout=5.0,
            keepalive_timeout=20.0,
            max_request_line=2048,
            max_header_bytes=16 << 10,
            max_headers=60,
            max_body=1024,
            body_memory=1024,
        ),
        # No access log, and no handlers of the application's.
        log=LogSettings(level=log.level, output=log.output, format=log.format),
    )


class StatusProcess(msgspec.Struct):
    """A process that has been started, and the master's ties to it."""

    pid: int
    orders: Channel
    """As a worker's: Stop and the like to it, WorkerReady and WorkerFailed back."""
    questions: Channel
    """StatusWanted from it, StatusGiven back."""
    stacks: Stacks

    def close(self) -> None:
        """Let go."""
        self.orders.close()
        self.questions.close()
        self.stacks.close()


def launch_status(processes: Processes, place: StatusPlace, metrics_fd: int) -> StatusProcess:
    """Start one. `metrics_fd`: where applications count, see `prefork.ipc.metricstore`. Raises OSError."""
    orders, their_orders = Channel.pair()
    questions, their_questions = Channel.pair()
    stacks = Stacks.create()
    boot_fd = os.memfd_create("prefork-status-boot")
    boot = StatusBoot(
        master_pid=os.getpid(),
        settings=msgspec.Raw(msgspec.json.encode(place.settings)),
        listeners=list(place.listeners),
        agents=list(place.agents),
        log_fd=place.log_fd,
        stacks_fd=stacks.fd,
        questions_fd=their_questions.fileno(),
        metrics_fd=metrics_fd,
        uid=place.identity.uid,
        gid=place.identity.gid,
        groups=list(place.identity.groups),
    )
    theirs = [their_orders.fileno(), boot_fd, stacks.fd, their_questions.fileno(), place.log_fd, metrics_fd]
    command = [sys.executable, "-c", BOOTSTRAP, str(_SOURCE), str(their_orders.fileno()), str(boot_fd)]
    try:
        os.write(boot_fd, msgspec.json.encode(boot))
        listeners = [*(fd for fd, _ in place.listeners), *place.agents]
        pid = processes.spawn(command, environment_for_children(), [0, 1, 2, *theirs, *listeners])
    except OSError:
        for each in (orders, questions, stacks):
            each.close()
        raise
    finally:
        their_orders.close()
        their_questions.close()
        os.close(boot_fd)
    return StatusProcess(pid, orders, questions, stacks)
