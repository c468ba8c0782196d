"""From settings to a running pool, and back to nothing.

Owns: the order of start-up and of the end. Runs in: master. Must not know: what the supervisor does in between.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from setproctitle import setproctitle

from prefork import systemd
from prefork.errors import PreforkError
from prefork.ipc.control import Result
from prefork.ipc.metricstore import MetricStore
from prefork.ipc.scoreboard import Scoreboard
from prefork.master.control import ControlSocket, open_control
from prefork.master.events import Event, ReloadAsked
from prefork.master.generations import Generations
from prefork.master.handover import Handover, Remembered, StatusState, take
from prefork.master.hookcalls import HookCalls
from prefork.master.journal import Journal
from prefork.master.links import Links
from prefork.master.logfiles import LogFiles
from prefork.master.opening import open_first, opened_by
from prefork.master.overseer import Overseer
from prefork.master.pidfile import PidFile
from prefork.master.processes import Processes, SystemProcesses
from prefork.master.queues import ListenQueues
from prefork.master.queuewatch import QueueWatch
from prefork.master.resources import LoadSettings
from prefork.master.service import Service
from prefork.master.signals import SignalInbox
from prefork.master.snapshot import Snapshots
from prefork.master.spawning import keep_from_children
from prefork.master.stacktaking import StackTaking
from prefork.master.state import Pool
from prefork.master.statsd import Statsd
from prefork.master.statuskeeper import StatusKeeper
from prefork.master.supervisor import Supervisor
from prefork.master.takeover import describe, replace_memory, restore_links, restore_resources
from prefork.master.upgrade import Program, Upgrade
from prefork.net.backlog import effective_backlog
from prefork.net.overflows import listen_overflows
from prefork.settings.model import Settings
from prefork.version import __version__


class _Held(msgspec.Struct, frozen=True):
    """What a master has before it supervises, and what happens first."""

    pool: Pool
    generations: Generations
    control: ControlSocket
    pid_file: PidFile | None
    first: Event
    waiting: Sequence[int] = ()
    """Connections of those who wait for the end of an upgrade."""
    status: Sequence[StatusState] = ()
    """Status processes of the program before this one."""
    remembered: Remembered = Remembered()


class _Means(msgspec.Struct, frozen=True):
    """What both ways to begin need."""

    load_settings: LoadSettings
    processes: Processes
    links: Links
    cleanup: ExitStack
    service: Service


def serve(
    load_settings: LoadSettings, processes: Processes | None = None, program: Program | None = None
) -> int:
    """Run a server until it ends; returns the exit code. `program`: how to execute it anew, for an upgrade.

    Raises PreforkError for everything that is wrong before the pool exists.
    """
    # If this process hangs, a watchdog ends it with SIGABRT: its stack is all there is to learn from.
    faulthandler.enable(2)
    # Before anything that starts others: it is meant for this process alone.
    service = Service(systemd.take(os.environ, os.getpid()))
    try:
        return _serve(load_settings, processes or SystemProcesses(), program, service)
    except PreforkError as error:
        service.failed(error)
        raise
    finally:
        service.close()


def _serve(
    load_settings: LoadSettings, processes: Processes, program: Program | None, service: Service
) -> int:
    handover = take()
    # First of all, for a mistake in it must leave no trace.
    settings = load_settings() if handover is None else None
    keep_from_children()
    with ExitStack() as cleanup:
        # Handlers before the pid file: whoever reads it may send a signal at once.
        inbox = SignalInbox()
        cleanup.callback(inbox.close)
        links = Links(inbox)
        cleanup.callback(links.close)
        # Before the first zygote: its first worker must find us as the one who adopts it.
        processes.become_subreaper()
        means = _Means(load_settings, processes, links, cleanup, service)
        if handover is not None:
            held = _take_over(handover, means)
        else:
            assert settings is not None, "they have just been loaded"
            held = _begin(settings, means)
        return _supervise(held, means, inbox, program)


def _supervise(held: _Held, means: _Means, inbox: SignalInbox, program: Program | None) -> int:
    pool, generations, control = held.pool, held.generations, held.control

    def written_down(waiting: Sequence[int]) -> Handover:
        status = status_keeper.handed_over()
        remembered = snapshots.remembered()
        return describe(pool, means.links, generations, control, held.pid_file, waiting, status, remembered)

    stack_taking = StackTaking(means.processes.kill, time.monotonic)
    overseer = Overseer(pool, means.processes, generations, generations.board, stack_taking, time.monotonic)
    upgrade = Upgrade(means.processes, program, written_down, means.service.hand_over)
    queues = ListenQueues(generations)
    queue_watch = QueueWatch(queues, generations.log, listen_overflows, time.monotonic)
    snapshots = Snapshots(pool, generations, queues, time.monotonic)
    snapshots.remember(held.remembered)
    status_keeper = StatusKeeper(
        means.processes,
        means.links,
        generations,
        lambda: msgspec.json.encode(snapshots.take()),
        time.monotonic,
    )
    status_keeper.take_over(held.status)
    statsd = Statsd(
        lambda: generations.in_force.settings.statsd, snapshots.take, generations.log, time.monotonic
    )
    supervisor = Supervisor(
        pool,
        means.processes,
        inbox,
        means.links,
        generations,
        overseer,
        control,
        upgrade,
        snapshots,
        status_keeper,
        means.service,
        statsd,
        queue_watch,
        time.monotonic,
    )
    hook_calls = HookCalls(pool, means.links, generations.log.warn_with, time.monotonic)
    generations.log.follow(hook_calls.hear)
    means.service.attach(
        generations.log,
        snapshots.take,
        lambda: generations.in_force.all_listeners,
        resumed=pool.complete,
    )
    supervisor.adopt_waiting(held.waiting)
    code = supervisor.run(held.first)
    generations.close()
    generations.log.info("stopped", code=code)
    error = "" if code == 0 else f"the server has ended with exit code {code}"
    control.close(Result(ok=code == 0, text="stopped", error=error))
    return code


def _begin(settings: Settings, means: _Means) -> _Held:
    """Everything is opened for the first time."""
    cleanup = means.cleanup
    # The pid file before anything is bound: "already running" says more than "address in use", and a stale one is
    # replaced by the one process that holds its lock.
    pid_file = None
    if settings.server.pid_file is not None:
        pid_file = PidFile.acquire(settings.server.pid_file)
        cleanup.callback(pid_file.release)
    # Users are looked up, log files opened and addresses bound by the master, as root if it is root; the pool gets
    # descriptors. Listeners come last: from then on clients wait for an answer.
    files = LogFiles()
    cleanup.callback(files.close_except, ())
    means.service.begin(settings.workers.boot_timeout)
    resources = open_first(settings, files, means.service)
    _set_title(settings)
    log = Journal(resources.log(), resources.slow_log())
    log.info("starting", version=__version__, python=_python(), name=settings.server.name or None)
    for warning in resources.warnings:
        log.warning("certificate_warning", problem=warning)
    for listener in resources.listeners:
        log.info("listening", address=listener.address, opened_by=opened_by(listener))
    for listener in resources.status_listeners:
        log.info("status_listening", address=listener.address)
    backlog = effective_backlog(settings.server.backlog)
    if backlog < settings.server.backlog:
        hint = "raise net.core.somaxconn (sysctl), or lower server.backlog"
        log.warning("backlog_limited", asked=settings.server.backlog, got=backlog, hint=hint)
    control, unavailable = open_control(settings.server.control, time.monotonic)
    cleanup.callback(control.close, Result(ok=False, error="the server has ended"))
    if unavailable:
        hint = "commands such as `prefork status` need server.control; signals work without it"
        log.warning("control_unavailable", error=unavailable, hint=hint)
    elif control.path is not None:
        log.info("control_listening", path=control.path)
    # One for the workers of all generations, who wait for connections side by side during a reload.
    baton_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    cleanup.callback(os.close, baton_fd)
    board, metrics = Scoreboard(), MetricStore()
    cleanup.callback(board.close)
    cleanup.callback(metrics.close)
    pool = Pool()
    generations = Generations(
        pool,
        means.processes,
        means.links,
        files,
        means.load_settings,
        resources,
        log,
        baton_fd,
        board,
        metrics,
    )
    # After the last worker is gone, which the supervisor waits for: until then the backlog is served.
    cleanup.callback(generations.close)
    return _Held(pool, generations, control, pid_file, generations.start(resources))


def _take_over(handover: Handover, means: _Means) -> _Held:
    """Everything is there: another program was this process until a moment ago. What is new is read by a reload."""
    cleanup = means.cleanup
    pid_file = None
    if handover.pid_file is not None:
        path, fd = handover.pid_file
        pid_file = PidFile(Path(path), fd)
        cleanup.callback(pid_file.release)
    files = LogFiles(handover.log_files)
    cleanup.callback(files.close_except, ())
    resources = restore_resources(handover)
    in_force = resources[handover.in_force]
    _set_title(in_force.settings)
    log = Journal(in_force.log(), in_force.slow_log())
    log.info("upgraded", version=__version__, from_version=handover.release, python=_python())
    listener = None if handover.control is None else handover.control.listener()
    control = ControlSocket(listener, time.monotonic)
    cleanup.callback(control.close, Result(ok=False, error="the server has ended"))
    cleanup.callback(os.close, handover.baton_fd)
    board = Scoreboard.inherited(handover.board_fd, handover.remembered.counted)
    cleanup.callback(board.close)
    known = handover.metrics_fd >= 0
    metrics = MetricStore.inherited(handover.metrics_fd, handover.metrics_owners) if known else MetricStore()
    cleanup.callback(metrics.close)
    restore_links(handover, means.links)
    generations = Generations(
        handover.pool,
        means.processes,
        means.links,
        files,
        means.load_settings,
        in_force,
        log,
        handover.baton_fd,
        board,
        metrics,
    )
    generations.restore(resources)
    replace_memory(means.links, generations)
    cleanup.callback(generations.close)
    return _Held(
        handover.pool,
        generations,
        control,
        pid_file,
        ReloadAsked(),
        handover.waiting,
        handover.status,
        handover.remembered,
    )


def _set_title(settings: Settings) -> None:
    name = settings.server.name
    setproctitle(f"prefork: master [{name}]" if name else "prefork: master")


def _python() -> str:
    return sys.version.split()[0]
