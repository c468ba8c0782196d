"""Workers on command: the zygote's loop.

Owns: when a worker is forked (`orphan` is how), and that it inherits nothing it must not have. Runs in: zygote, and the first
moment of the worker. Must not know: what a worker does, the application.
"""

from __future__ import annotations

import os
from collections.abc import Callable

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
    encode,
)
from prefork.zygote import orphan
from prefork.zygote.hygiene import flush_streams
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
    head, tail = orphan.around_pid(encode(Spawned(worker_id=spawn.worker_id, pid=0)))
    try:
        is_worker = orphan.fork(worker_channel.fileno(), head, tail)
    except OSError as error:
        # Say why before the end of the worker's channel says it less well.
        reason = error.strerror or str(error)
        channel.send(SpawnFailed(worker_id=spawn.worker_id, error=f"fork: {reason}"))
        is_worker = False
    if not is_worker:
        # Closed before the next fork: an end of this channel in a sibling would keep end-of-file from the master.
        worker_channel.close()
        return None
    channel.close()
    return Birth(spawn.worker_id, spawn.slot, spawn.row, spawn.metrics, worker_channel)


def _fork_errand(channel: Channel) -> bool:
    """True in a process of its own, which the master adopts. Without memory for one the hook is not run."""
    flush_streams()
    try:
        is_errand = orphan.fork(-1, b"", b"")
    except OSError:
        return False
    if is_errand:
        channel.close()
    return is_errand


def _replace(fds: tuple[int, ...], targets: list[int]) -> None:
    """Put fresh log files or listeners behind the numbers that workers will use."""
    for fd, target in zip(fds, targets, strict=False):
        os.dup2(fd, target, inheritable=False)
        os.close(fd)
