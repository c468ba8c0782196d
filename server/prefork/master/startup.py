"""From settings to a running pool, and back to nothing.

Owns: the order of start-up and of the end. Runs in: master. Must not know: what the supervisor does in between.
"""

from __future__ import annotations

import faulthandler
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from prefork import systemd
from prefork.errors import PreforkError
from prefork.ipc.control import Result
from prefork.ipc.metricstore import MetricStore
from prefork.ipc.scoreboard import Scoreboard
from prefork.master.control import open_control
from prefork.master.generations import Generations
from prefork.master.handover import take
from prefork.master.held import Held, Means, python, set_title
from prefork.master.journal import Journal
from prefork.master.links import Links
from prefork.master.logfiles import LogFiles
from prefork.master.opening import open_first, opened_by
from prefork.master.pidfile import PidFile
from prefork.master.processes import Processes, SystemProcesses
from prefork.master.resources import LoadSettings
from prefork.master.service import Service
from prefork.master.signals import SignalInbox
from prefork.master.spawning import keep_from_children
from prefork.master.state import Pool
from prefork.net.backlog import effective_backlog
from prefork.settings.model import Settings
from prefork.version import __version__

if TYPE_CHECKING:
    from prefork.master.upgrade import Program


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
        means = Means(load_settings, processes, links, cleanup, service)
        if handover is not None:
            from prefork.master.resuming import take_over

            held = take_over(handover, means)
        else:
            assert settings is not None, "they have just been loaded"
            held = _begin(settings, means)
        # Now, for the zygote is at work: see there.
        from prefork.master.supervising import supervise

        return supervise(held, means, inbox, program)


def _begin(settings: Settings, means: Means) -> Held:
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
    log = Journal(resources.log(), resources.slow_log())
    log.info("starting", version=__version__, python=python(), name=settings.server.name or None)
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
    first = generations.start(resources)
    set_title(settings)
    return Held(pool, generations, control, pid_file, first)
