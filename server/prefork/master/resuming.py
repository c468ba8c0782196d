"""From what another program left, which was this process until a moment ago, to a running pool.

Owns: the order of that. Runs in: master. Must not know: what the supervisor does then.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from prefork.ipc.control import Result
from prefork.ipc.metricstore import MetricStore
from prefork.ipc.scoreboard import Scoreboard
from prefork.master.control import ControlSocket
from prefork.master.events import ReloadAsked
from prefork.master.generations import Generations
from prefork.master.handover import Handover
from prefork.master.held import Held, Means, python, set_title
from prefork.master.journal import Journal
from prefork.master.logfiles import LogFiles
from prefork.master.pidfile import PidFile
from prefork.master.takeover import replace_memory, restore_links, restore_resources
from prefork.version import __version__


def take_over(handover: Handover, means: Means) -> Held:
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
    set_title(in_force.settings)
    log = Journal(in_force.log(), in_force.slow_log())
    log.info("upgraded", version=__version__, from_version=handover.release, python=python())
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
    return Held(
        handover.pool,
        generations,
        control,
        pid_file,
        ReloadAsked(),
        handover.waiting,
        handover.status,
        handover.remembered,
    )
