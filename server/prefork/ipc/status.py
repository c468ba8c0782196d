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


class RequestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One that runs."""

    thread: int
    """Of its worker, from 1."""
    request: str
    """The request line."""
    client: str
    elapsed_s: float
    ident: int
    """threading.get_ident() of the thread, as stacks name it."""


class CountersStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted since the start, by one worker or by all there have been."""

    requests: int = 0
    by_class: list[int] = []
    """Five numbers: answers 1xx to 5xx."""
    bytes_in: int = 0
    bytes_out: int = 0
    """Of bodies, not of heads."""
    busy_s: float = 0.0
    """Time that threads spent on requests."""
    exceptions: int = 0
    """Raised by the application."""
    shed: int = 0
    """Turned away because they had waited too long."""
    connections: int = 0
    """Accepted."""
    duration: list[int] = []
    """Requests by the time from their turn to the end of the response: so many up to each of `Status.bounds_s`, not
    cumulated, and one number for those beyond the last."""
    queued: list[int] = []
    """The same by the time they waited from their arrival, in the kernel and here, until it was their turn."""
    queued_s: float = 0.0
    """The sum of those times."""


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
    running: list[RequestStatus] = []
    connections: int = 0
    """Open now."""
    counters: CountersStatus | None = None
    cpu_s: float | None = None
    """Processor time it has used, user and system."""
    restarts: int = 0
    """Processes this number has had before."""
    last_exit: str = ""
    """Why the one before it left: a recycle reason, or what killed it."""


class ReloadStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the last reload or rollback ended."""

    what: str
    """reload, rollback."""
    ok: bool
    generation: int | None
    ago_s: float
    stage: str = ""
    error: str = ""
    traceback: str = ""
    at_s: float = 0.0
    """Wall clock, seconds since 1970."""


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Connections that wait at one address to be accepted."""

    address: str
    length: int
    highest: int
    """The most that was seen."""
    limit: int
    """Where the kernel turns clients away."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A server."""

    v: int = STATUS_VERSION
    name: str
    pid: int
    version: str
    uptime_s: float
    state: str
    """starting, serving, reloading, rolling back, paused, draining (not ready any more, and serving on), stopping."""
    generation: int | None
    """The active one."""
    workers_wanted: int
    generations: list[GenerationStatus]
    workers: list[WorkerStatus]
    listeners: list[str]
    last_reload: ReloadStatus | None = None
    history: list[ReloadStatus] = []
    """The last reloads and rollbacks, newest first; `last_reload` is the first of them."""
    queues: list[QueueStatus] = []
    counters: CountersStatus | None = None
    """Of all workers, those that are gone included."""
    cpu_s: float = 0.0
    """Processor time that all workers have used, those that are gone included."""
    bounds_s: list[float] = []
    """Upper bounds of the histograms' buckets."""
    draining_since_s: float | None = None
    """A stop is under way for so long."""
    reloads: dict[str, int] = {}
    """How many reloads and rollbacks ended how: done, failed, rolled_back, rollback_failed."""
    exits: dict[str, int] = {}
    """How many worker processes ended why: crashed, killed, boot_failed, or the first word of the reason they left for."""


def decode_status(data: bytes) -> Status:
    """Raises msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=Status)
