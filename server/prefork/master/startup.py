"""From settings to a running pool, and back to nothing.

Owns: the order of start-up and of the end. Runs in: master. Must not know: what the supervisor does in between.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack

from setproctitle import setproctitle

from prefork.ipc.control import Result
from prefork.ipc.scoreboard import Scoreboard
from prefork.master.control import open_control
from prefork.master.generations import Generations
from prefork.master.journal import Journal
from prefork.master.links import Links
from prefork.master.logfiles import LogFiles
from prefork.master.overseer import Overseer
from prefork.master.pidfile import PidFile
from prefork.master.processes import Processes, SystemProcesses, keep_from_children
from prefork.master.resources import LoadSettings, prepare
from prefork.master.signals import SignalInbox
from prefork.master.state import Pool
from prefork.master.supervisor import Supervisor
from prefork.net.backlog import effective_backlog
from prefork.version import __version__


def serve(load_settings: LoadSettings, processes: Processes | None = None) -> int:
    """Run a server until it ends; returns the exit code.

    Raises PreforkError for everything that is wrong before the pool exists.
    """
    # First of all, for a mistake in it must leave no trace.
    settings = load_settings()
    processes = processes or SystemProcesses()
    keep_from_children()
    with ExitStack() as cleanup:
        # Handlers before the pid file: whoever reads it may send a signal at once.
        inbox = SignalInbox()
        cleanup.callback(inbox.close)
        # The pid file before anything is bound: "already running" says more than "address in use", and a stale one is
        # replaced by the one process that holds its lock.
        if settings.server.pid_file is not None:
            cleanup.callback(PidFile.acquire(settings.server.pid_file).release)
        # Users are looked up, log files opened and addresses bound by the master, as root if it is root; the pool gets
        # descriptors. Listeners come last: from then on clients wait for an answer.
        files = LogFiles()
        cleanup.callback(files.close_except, ())
        resources = prepare(settings, files)
        title = f"prefork: master [{settings.server.name}]" if settings.server.name else "prefork: master"
        setproctitle(title)
        log = Journal(resources.log())
        log.info(
            "starting", version=__version__, python=sys.version.split()[0], name=settings.server.name or None
        )
        for warning in resources.warnings:
            log.warning("certificate_warning", problem=warning)
        for _, address in resources.addresses:
            log.info("listening", address=address)
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
        board = Scoreboard()
        cleanup.callback(board.close)
        pool = Pool()
        links = Links(inbox)
        cleanup.callback(links.close)
        generations = Generations(
            pool, processes, links, files, load_settings, resources, log, baton_fd, board
        )
        # After the last worker is gone, which the supervisor waits for: until then the backlog is served.
        cleanup.callback(generations.close)
        # Before the first zygote: its first worker must find us as the one who adopts it.
        processes.become_subreaper()
        first = generations.start(resources)
        overseer = Overseer(pool, processes, generations, board, time.monotonic)
        supervisor = Supervisor(pool, processes, inbox, links, generations, overseer, control, time.monotonic)
        code = supervisor.run(first)
        generations.close()
        generations.log.info("stopped", code=code)
        error = "" if code == 0 else f"the server has ended with exit code {code}"
        control.close(Result(ok=code == 0, text="stopped", error=error))
        return code
