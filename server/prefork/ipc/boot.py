"""What a zygote is told when it is started: one JSON document in a memfd.

Owns: the shape of that document. Written by: master. Read by: zygote. Must not know: what settings mean (they are passed
through as JSON: the zygote may be another release of prefork, and only it needs to understand them).
"""

from __future__ import annotations

import signal

import msgspec

BOOT_VERSION = 1

STACKS_SIGNAL = signal.SIGRTMIN + 3
"""Makes a zygote or worker write the Python stacks of all its threads into `Boot.stacks_fd`, even while C code holds the
GIL (faulthandler.register). A real-time signal: nobody else's habits are attached to it (signal(7))."""

INTERRUPT_SIGNAL = signal.SIGRTMIN + 4
"""Tells a worker to interrupt the requests that the master has marked on the scoreboard, see `prefork.worker.interruption`."""


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a zygote needs; descriptors by the number that they have in both processes."""

    v: int = BOOT_VERSION
    generation: int
    master_pid: int
    settings: msgspec.Raw
    """`prefork.settings.model.Settings` as JSON."""
    name: str = ""
    """What process titles show."""
    listeners: list[tuple[int, str]] = []
    """(descriptor, address as text), in the order of `[server] listen`."""
    tls: msgspec.Raw = msgspec.Raw(b"null")
    """`prefork.net.tls.Material` as JSON: keys that perhaps only root can read, so they come with this document and no other
    way. null: no listener speaks TLS."""
    log_fd: int = 2
    access_fd: int | None = None
    slow_fd: int | None = None
    baton_fd: int | None = None
    """An eventfd that the workers of all generations share, see `prefork.worker.acceptor`."""
    scoreboard_fd: int | None = None
    """A memfd, see `prefork.ipc.scoreboard`."""
    metrics_fd: int | None = None
    """A memfd, see `prefork.ipc.metricstore`."""
    metrics_at: int = -1
    """Where in it the zygote counts; -1: nowhere."""
    stacks_fd: int
    """A memfd that receives Python stacks: of crashes, and on STACKS_SIGNAL. The master reads it."""
    uid: int | None = None
    """Become this user before any code of the application runs; None: stay who the master is."""
    gid: int | None = None
    groups: list[int] = []
    trial: bool = False
    """Import and inspect the application, report, exit: nothing is ever forked."""
    unsafe_note: str = ""
    """Set when the zygote replaced itself after a preload that made it unsafe to fork: why. Then it does not preload."""
