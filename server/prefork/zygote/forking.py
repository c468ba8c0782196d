"""Workers on command: the zygote's loop and the double fork.

Owns: how a worker is made, so that it is a child of the master and inherits nothing it must not have. Runs in: zygote,
and for a moment in the middle process and the worker. Must not know: what a worker does, the application.

The zygote forks a middle process, which forks the worker, tells the master its pid and ends; the worker is then adopted by
the master (PR_SET_CHILD_SUBREAPER), who waits for it like for a child of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn

import msgspec

from prefork.ipc.channel import Channel, ChannelError
from prefork.ipc.messages import (
    Exit,
    ReopenLogs,
    RunHook,
    Spawn,
    Spawned,
    SpawnFailed,
    TakeListeners,
    ZygoteFailed,
)
from prefork.zygote.hygiene import flush_streams, wait_until_adopted
from prefork.zygote.inspection import other_threads


class Birth(msgspec.Struct, frozen=True):
    """Seen only by a fresh worker: who it is."""

    worker_id: int
    slot: int
    row: int
    metrics: int
    channel: Channel


def serve(channel: Channel, wants: Callable[[RunHook], bool]) -> Birth | RunHook | None:
    """Fork workers until told to leave or the master is gone (None). `wants`: whether there is anything to do for a hook.

    In a worker it returns its Birth, in a process for a hook the order: the caller unwinds first, so that no frame of the zygote
    lives on below it.
    """
    while True:
        channel.wait(None)
        try:
            received = channel.receive()
        except ChannelError:
            return None
        if received is None:
            continue
        message = received.message
        if isinstance(message, Exit):
            return None
        if isinstance(message, Spawn):
            if not _may_fork(channel):
                return None
            birth = _fork_worker(channel, message, Channel.from_fd(received.fds[0]))
            if birth is not None:
                return birth
        elif isinstance(message, RunHook):
            if wants(message) and _fork_errand(channel):
                return message
        elif isinstance(message, ReopenLogs | TakeListeners):
            _replace(received.fds, message.targets)


def _may_fork(channel: Channel) -> bool:
    """Whether this is still the only thread: something may have started one since the inspection."""
    threads = other_threads()
    if threads:
        error = f"the application started {len(threads)} thread(s) after its import: {', '.join(threads)}"
        channel.send(ZygoteFailed(stage="fork", error=error))
    return not threads


def _fork_worker(channel: Channel, spawn: Spawn, worker_channel: Channel) -> Birth | None:
    flush_streams()
    try:
        middle = os.fork()
    except OSError as error:
        _refuse(channel, spawn, worker_channel, os.strerror(error.errno or 0))
        return None
    if middle:
        _, status = os.waitpid(middle, 0)
        code = os.waitstatus_to_exitcode(status)
        if code:
            reason = os.strerror(code) if code > 0 else f"the middle process was ended by signal {-code}"
            _refuse(channel, spawn, worker_channel, reason)
        # Closed before the next fork: an end of this channel in a sibling would keep end-of-file from the master.
        worker_channel.close()
        return None
    middle_pid = os.getpid()
    try:
        worker = os.fork()
    except OSError as error:
        os._exit(error.errno or 1)
    if worker:
        _end_middle(worker_channel, spawn.worker_id, worker)
    wait_until_adopted(middle_pid)
    channel.close()
    return Birth(spawn.worker_id, spawn.slot, spawn.row, spawn.metrics, worker_channel)


def _fork_errand(channel: Channel) -> bool:
    """True in a process of its own, which the master adopts. Without memory for one the hook is not run."""
    flush_streams()
    try:
        middle = os.fork()
    except OSError:
        return False
    if middle:
        os.waitpid(middle, 0)
        return False
    middle_pid = os.getpid()
    try:
        errand = os.fork()
    except OSError:
        os._exit(1)
    if errand:
        os._exit(0)
    wait_until_adopted(middle_pid)
    channel.close()
    return True


def _refuse(channel: Channel, spawn: Spawn, worker_channel: Channel, reason: str) -> None:
    """Say why before the end of the worker's channel says it less well."""
    channel.send(SpawnFailed(worker_id=spawn.worker_id, error=f"fork: {reason}"))
    worker_channel.close()


def _end_middle(worker_channel: Channel, worker_id: int, pid: int) -> NoReturn:
    """Tell the master, then end: it cannot see the worker as its child before that. No exit handler, no flush."""
    try:
        worker_channel.send(Spawned(worker_id=worker_id, pid=pid))
    finally:
        os._exit(0)


def _replace(fds: tuple[int, ...], targets: list[int]) -> None:
    """Put fresh log files or listeners behind the numbers that workers will use."""
    for fd, target in zip(fds, targets, strict=False):
        os.dup2(fd, target, inheritable=False)
        os.close(fd)
