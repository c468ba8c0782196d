"""What the status process is told when it is started: one JSON document in a memfd.

Owns: the shape of that document. Written by: master. Read by: status. Must not know: what the process does with it. Both are the
same release of prefork: the document has no version.
"""

from __future__ import annotations

import msgspec


class StatusBoot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything it needs; descriptors are inherited by number."""

    master_pid: int
    settings: msgspec.Raw
    """`prefork.settings.model.Settings` as JSON, as they are for a worker whose application is the status page."""
    listeners: list[tuple[int, str]]
    """(descriptor, address as text), in the order of `[server] listen` in those settings."""
    agents: list[int] = []
    """Descriptors of listeners where a balancer asks for one line."""
    log_fd: int
    stacks_fd: int
    """A memfd that receives Python stacks of crashes."""
    questions_fd: int
    """A channel: StatusWanted to the master, StatusGiven back."""
    metrics_fd: int | None = None
    """The memory in which applications count with `prefork.metrics`, see `prefork.ipc.appmetrics`."""
    uid: int | None = None
    gid: int | None = None
    groups: list[int] = []
