"""What a server says about itself when it is asked.

Owns: the shape of a status, as JSON and as values. Written by: master. Read by: cli, other programs. Must not know: how the
master knows.

`v` goes up when something in it changes its meaning or goes away; new fields may appear at any time.
"""

from __future__ import annotations

import msgspec

STATUS_VERSION = 1


class GenerationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration and one image of the code."""

    number: int
    state: str
    """booting, ready (taking over), active, parked (kept for a rollback), retired, failed."""
    zygote_pid: int | None
    zygote: str
    preloaded: bool
    """Its workers share the application's memory with the zygote."""
    parked_for_s: float | None = None
    """How much longer it is kept."""


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process that serves, will serve or has served."""

    worker: int
    """The number people use; a replacement has that of the one it replaces."""
    id: int
    pid: int | None
    generation: int
    state: str
    """booting, accepting, draining, stopping, ..."""
    age_s: float | None
    """Since it accepts connections."""
    reason: str = ""
    """Why it leaves."""
    requests: int | None = None
    """Answered so far; None: not counted."""
    threads: int = 0
    """Requests it can run at once."""
    busy: int = 0
    """Requests it runs."""


class ReloadStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the last reload or rollback ended."""

    what: str
    """reload, rollback."""
    ok: bool
    generation: int | None
    ago_s: float
    stage: str = ""
    error: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A server."""

    v: int = STATUS_VERSION
    name: str
    pid: int
    version: str
    uptime_s: float
    state: str
    """starting, serving, reloading, rolling back, paused, stopping."""
    generation: int | None
    """The active one."""
    workers_wanted: int
    generations: list[GenerationStatus]
    workers: list[WorkerStatus]
    listeners: list[str]
    last_reload: ReloadStatus | None = None


def decode_status(data: bytes) -> Status:
    """Raises msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=Status)
