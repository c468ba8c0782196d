"""The life of the status process: a worker like any other, whose application is prefork's own.

Owns: the steps from exec to the worker's loop. Runs in: status process. Must not know: what the application answers.

Started by the master as `python -c BOOTSTRAP ROOT ORDERS_FD BOOT_FD` in a fresh interpreter.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec

from prefork.errors import EXIT_BOOT_FAILED, BootError
from prefork.identity import Identity
from prefork.ipc.appmetrics import Family, read
from prefork.ipc.channel import Channel
from prefork.ipc.messages import WorkerFailed, clip
from prefork.ipc.statusboot import StatusBoot
from prefork.observe.log import Log
from prefork.observe.memory import measure
from prefork.observe.sinks import open_sink
from prefork.settings.model import Settings
from prefork.status.agent import Agent
from prefork.status.application import StatusApplication
from prefork.status.exposition import NotInstalledError, expose
from prefork.status.history import History
from prefork.status.memory import Memories
from prefork.status.sampler import Sampler
from prefork.status.source import Source
from prefork.title import setproctitle
from prefork.worker.boot import WorkerBoot
from prefork.worker.main import run
from prefork.zygote import hygiene


def main() -> NoReturn:
    """Entered by the bootstrap. Never returns."""
    hygiene.reset_signals()
    orders = Channel.from_fd(int(sys.argv[-2]))
    boot = _read_boot(int(sys.argv[-1]))
    hygiene.die_with_parent(boot.master_pid, signal.SIGTERM)
    code = 0
    try:
        _serve(boot, orders)
    except Exception as error:  # noqa: BLE001 - nobody is above us: the master tells it, for a traceback would not
        stage = error.stage if isinstance(error, BootError) else "status"
        text = clip(traceback.format_exc())
        failed = WorkerFailed(
            worker_id=0, stage=stage, error=f"{type(error).__name__}: {error}", traceback=text
        )
        orders.send(failed)
        code = EXIT_BOOT_FAILED
    hygiene.leave(code)


def _read_boot(fd: int) -> StatusBoot:
    with open(fd, "rb") as file:
        file.seek(0)
        return msgspec.json.decode(file.read(), type=StatusBoot)


def _serve(boot: StatusBoot, orders: Channel) -> None:
    # Descriptors inherited by number are inheritable, and nothing that is started from here needs them.
    hygiene.keep_from_programs()
    hygiene.dump_stacks_to(boot.stacks_fd)
    hygiene.reset_worker_signals()
    settings = msgspec.json.decode(boot.settings, type=Settings)
    name = settings.server.name
    setproctitle(f"prefork: status [{name}]" if name else "prefork: status")
    log = Log(open_sink(boot.log_fd, settings.log.format), settings.log.level, role="status", pid=os.getpid())
    source = Source(Channel.from_fd(boot.questions_fd), time.monotonic)
    sampler = Sampler(source, History(), time.monotonic, time.time)
    agent = Agent(boot.agents, lambda: None if (answer := source.ask()) is None else answer.status)
    application = StatusApplication(
        source, sampler, Memories(time.monotonic), log, _reader(boot.metrics_fd, log)
    )
    _become(Identity(boot.uid, boot.gid, tuple(boot.groups)))
    hygiene.die_with_parent(boot.master_pid, signal.SIGTERM)
    sampler.start()
    agent.start()
    run(
        WorkerBoot(
            settings=settings,
            worker_id=0,
            slot=0,
            generation=0,
            master_pid=boot.master_pid,
            channel=orders,
            listeners=tuple(boot.listeners),
            application=application,
            log=log,
            access_fd=None,
        )
    )


def _reader(fd: int | None, log: Log) -> Callable[[], Sequence[Family]]:
    """Reads the application's own metrics."""

    def read_now() -> Sequence[Family]:
        if fd is None:
            return ()
        try:
            return read(fd)
        except (OSError, ValueError) as error:
            log.warning("metrics_unreadable", error=error)
            return ()

    return read_now


def _become(identity: Identity) -> None:
    """Who the application runs as. All of ours is read before, while that is certain to work: this user may not enter the
    directory that Python is in."""
    if identity.is_current:
        return
    measure(os.getpid())
    with contextlib.suppress(NotInstalledError):
        expose(None, {}, "")
    identity.drop()
