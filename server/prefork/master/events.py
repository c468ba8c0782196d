"""What can happen to the pool.

Owns: the events. Runs in: master. Must not know: what they change (see `transitions`), what is done about them (see
`plan`).
"""

from __future__ import annotations

import msgspec

from prefork.master.processes import Exit
from prefork.master.state import Failure, Limits


class GenerationStarted(msgspec.Struct, frozen=True):
    """A zygote was started, with settings that were accepted."""

    target: int
    limits: Limits
    zygote_pid: int
    restart: bool = False
    same_user: bool = True
    """As ours."""


class StartRefused(msgspec.Struct, frozen=True):
    """No zygote was started: the settings or the system forbid it."""

    failure: Failure
    restart: bool = False


class GenerationReturns(msgspec.Struct, frozen=True):
    """A parked generation has its listeners back and is a candidate once more."""

    generation: int


class RollbackRefused(msgspec.Struct, frozen=True):
    """A parked generation cannot come back: the system forbids it."""

    generation: int
    failure: Failure


class ZygoteReports(msgspec.Struct, frozen=True):
    """The zygote can fork workers."""

    generation: int
    preloaded: bool
    note: str = ""


class ZygoteGivesUp(msgspec.Struct, frozen=True):
    """The zygote says why it cannot."""

    generation: int
    failure: Failure


class WorkerForked(msgspec.Struct, frozen=True):
    """The worker is a process."""

    worker: int
    pid: int


class WorkerNotForked(msgspec.Struct, frozen=True):
    """The system would not fork."""

    worker: int
    error: str


class WorkerAccepts(msgspec.Struct, frozen=True):
    """The worker is accepting connections."""

    worker: int


class WorkerGivesUp(msgspec.Struct, frozen=True):
    """The worker says why it cannot boot."""

    worker: int
    failure: Failure


class WorkerLeaves(msgspec.Struct, frozen=True):
    """The worker has drained and exits."""

    worker: int
    requests: int


class WorkerStuck(msgspec.Struct, frozen=True):
    """It runs a request that cannot be interrupted: it is to be replaced."""

    worker: int


class WorkerDoomed(msgspec.Struct, frozen=True):
    """Nothing is left in it that could be waited for."""

    worker: int
    why: str


class WorkerWantsLeave(msgspec.Struct, frozen=True):
    """The worker has served enough; it goes on until it is replaced."""

    worker: int
    reason: str


class MemoryMeasured(msgspec.Struct, frozen=True):
    """So many bytes are the worker's own."""

    worker: int
    size: int


class WorkerChannelEnded(msgspec.Struct, frozen=True):
    """End of file from a worker."""

    worker: int


class ZygoteChannelEnded(msgspec.Struct, frozen=True):
    """End of file from a zygote."""

    generation: int


class ProcessEnded(msgspec.Struct, frozen=True):
    """A child was collected."""

    exit: Exit
    stacks: str = ""
    """What it wrote about its crash or hang."""
    oom: str = ""
    """Whether the kernel's OOM killer was at work; empty: nobody knows."""
    request: str = ""
    """What it was answering when it died; empty: nothing, or unknown."""


class ReloadAsked(msgspec.Struct, frozen=True):
    """HUP."""


class RollbackAsked(msgspec.Struct, frozen=True):
    """`prefork rollback`."""


class RecycleAsked(msgspec.Struct, frozen=True):
    """`prefork recycle`."""

    slot: int | None
    """None: all workers."""


class CodeChanged(msgspec.Struct, frozen=True):
    """In development: files have changed that the worker has read."""

    worker: int
    files: str
    whole: bool
    """Of the settings or of installed packages: a new worker is not enough."""


class UpgradeAsked(msgspec.Struct, frozen=True):
    """USR2, `prefork upgrade`."""

    by: str


class LoadMeasured(msgspec.Struct, frozen=True):
    """So many workers' worth of requests run, so many connections wait to be accepted."""

    busy: float
    queue: int
    idlest: int | None = None
    """The slot of the worker that has had nothing to do for longest; None: all have."""


class ConnectionWaits(msgspec.Struct, frozen=True):
    """Somebody connected while the pool was at rest."""


class QueueChecked(msgspec.Struct, frozen=True):
    """So many connections wait to be accepted, and nobody is there to do it."""

    length: int


class UpgradeTried(msgspec.Struct, frozen=True):
    """A child finds out whether the new program could take over."""

    pid: int
    deadline: float


class UpgradeRefused(msgspec.Struct, frozen=True):
    """There will be no upgrade."""

    failure: Failure


class ScaleAsked(msgspec.Struct, frozen=True):
    """TTIN, TTOU."""

    by: int


class ScaleTo(msgspec.Struct, frozen=True):
    """`prefork scale N`."""

    count: int


class PauseAsked(msgspec.Struct, frozen=True):
    """WINCH."""


class ResumeAsked(msgspec.Struct, frozen=True):
    """`prefork resume`."""


class StopAsked(msgspec.Struct, frozen=True):
    """TERM, INT, QUIT."""

    fast: bool
    by: str
    delay_s: float | None = None
    """How long to go on serving first, not ready any more; None: as the settings have it."""


class DrainAsked(msgspec.Struct, frozen=True):
    """`prefork drain`."""

    delay_s: float | None
    """None: as the settings have it."""
    by: str


class DrainEnded(msgspec.Struct, frozen=True):
    """The time for balancers to notice is over."""


class ClockJumped(msgspec.Struct, frozen=True):
    """The master itself stood still for so many seconds longer than it meant to (a suspended machine, SIGSTOP)."""

    by_s: float


Event = (
    GenerationStarted
    | StartRefused
    | GenerationReturns
    | RollbackRefused
    | ZygoteReports
    | ZygoteGivesUp
    | WorkerForked
    | WorkerNotForked
    | WorkerAccepts
    | WorkerGivesUp
    | WorkerLeaves
    | WorkerWantsLeave
    | WorkerStuck
    | WorkerDoomed
    | MemoryMeasured
    | WorkerChannelEnded
    | ZygoteChannelEnded
    | ProcessEnded
    | ReloadAsked
    | RollbackAsked
    | RecycleAsked
    | CodeChanged
    | UpgradeAsked
    | LoadMeasured
    | ConnectionWaits
    | QueueChecked
    | UpgradeTried
    | UpgradeRefused
    | ScaleAsked
    | ScaleTo
    | PauseAsked
    | ResumeAsked
    | StopAsked
    | DrainAsked
    | DrainEnded
    | ClockJumped
)
