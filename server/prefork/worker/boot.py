"""What a freshly forked worker is given.

Owns: the one value that crosses from the zygote's fork into the worker. Built by the zygote, read by
`prefork.worker.main.run`. Must not know: how workers are forked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from prefork.ipc.channel import Channel
from prefork.ipc.scoreboard import Place
from prefork.observe.log import Log
from prefork.settings.model import Settings

if TYPE_CHECKING:
    import ssl


class WorkerBoot(msgspec.Struct, frozen=True):
    """Everything a worker needs; descriptors are valid in the process that receives this."""

    settings: Settings
    worker_id: int
    """Unique over the life of the master."""
    slot: int
    """1..N; what people call "worker 2"."""
    generation: int
    master_pid: int
    channel: Channel
    """This worker's own end of its channel to the master."""
    listeners: tuple[tuple[int, str], ...]
    """(descriptor, address as text) of each listener, bound by the master."""
    application: Any | None
    """The WSGI application, or None: nothing was preloaded and the worker imports it."""
    log: Log
    access_fd: int | None
    """Where access lines go; None: no access log."""
    slow_fd: int | None = None
    """Where slow requests are told; None: nowhere but in the log."""
    baton_fd: int | None = None
    """An eventfd, non-blocking, shared by all workers: one hands on a wake-up that it cannot use; see `worker.acceptor`."""
    tls: ssl.SSLContext | None = None
    """For the listeners that speak TLS; made before the fork, and shared by all workers of the generation."""
    scoreboard: Place | None = None
    """Its row; None: nobody sees what this worker does."""
