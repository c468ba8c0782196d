"""What can happen to the pool.

Owns: the events. Runs in: master. Must not know: what they change (see `transitions`), what is done about them (see
`plan`).
"""

from __future__ import annotations

from dataclasses import dataclass

from prefork.master.processes import Exit
from prefork.master.state import Failure, Limits


@dataclass(frozen=True, slots=True)
class GenerationStarted:
    """A zygote was started, with settings that were accepted."""

    target: int
    limits: Limits
    zygote_pid: int
    restart: bool = False


@dataclass(frozen=True, slots=True)
class StartRefused:
    """No zygote was started: the settings or the system forbid it."""

    failure: Failure
    restart: bool = False


@dataclass(frozen=True, slots=True)
class GenerationReturns:
    """A parked generation has its listeners back and is a candidate once more."""

    generation: int


@dataclass(frozen=True, slots=True)
class RollbackRefused:
    """A parked generation cannot come back: the system forbids it."""

    generation: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class ZygoteReports:
    """The zygote can fork workers."""

    generation: int
    preloaded: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class ZygoteGivesUp:
    """The zygote says why it cannot."""

    generation: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class WorkerForked:
    """The worker is a process."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerNotForked:
    """The system would not fork."""

    worker: int
    error: str


@dataclass(frozen=True, slots=True)
class WorkerAccepts:
    """The worker is accepting connections."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerGivesUp:
    """The worker says why it cannot boot."""

    worker: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class WorkerLeaves:
    """The worker has drained and exits."""

    worker: int
    requests: int


@dataclass(frozen=True, slots=True)
class WorkerStuck:
    """It runs a request that cannot be interrupted: it is to be replaced."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerDoomed:
    """Nothing is left in it that could be waited for."""

    worker: int
    why: str


@dataclass(frozen=True, slots=True)
class WorkerWantsLeave:
    """The worker has served enough; it goes on until it is replaced."""

    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class MemoryMeasured:
    """So many bytes are the worker's own."""

    worker: int
    size: int


@dataclass(frozen=True, slots=True)
class WorkerChannelEnded:
    """End of file from a worker."""

    worker: int


@dataclass(frozen=True, slots=True)
class ZygoteChannelEnded:
    """End of file from a zygote."""

    generation: int


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    """A child was collected."""

    exit: Exit
    stacks: str = ""
    """What it wrote about its crash or hang."""
    oom: str = ""
    """Whether the kernel's OOM killer was at work; empty: nobody knows."""
    request: str = ""
    """What it was answering when it died; empty: nothing, or unknown."""


@dataclass(frozen=True, slots=True)
class ReloadAsked:
    """HUP."""


@dataclass(frozen=True, slots=True)
class RollbackAsked:
    """`prefork rollback`."""


@dataclass(frozen=True, slots=True)
class RecycleAsked:
    """`prefork recycle`."""

    slot: int | None
    """None: all workers."""


@dataclass(frozen=True, slots=True)
class UpgradeAsked:
    """USR2, `prefork upgrade`."""

    by: str


@dataclass(frozen=True, slots=True)
class LoadMeasured:
    """So many workers' worth of requests run, so many connections wait to be accepted."""

    busy: float
    queue: int


@dataclass(frozen=True, slots=True)
class ConnectionWaits:
    """Somebody connected while the pool was at rest."""


@dataclass(frozen=True, slots=True)
class QueueChecked:
    """So many connections wait to be accepted, and nobody is there to do it."""

    length: int


@dataclass(frozen=True, slots=True)
class UpgradeTried:
    """A child finds out whether the new program could take over."""

    pid: int
    deadline: float


@dataclass(frozen=True, slots=True)
class UpgradeRefused:
    """There will be no upgrade."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class ScaleAsked:
    """TTIN, TTOU."""

    by: int


@dataclass(frozen=True, slots=True)
class PauseAsked:
    """WINCH."""


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """`prefork resume`."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """TERM, INT, QUIT."""

    fast: bool
    by: str
    delay_s: float | None = None
    """How long to go on serving first, not ready any more; None: as the settings have it."""


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """`prefork drain`."""

    delay_s: float | None
    """None: as the settings have it."""
    by: str


@dataclass(frozen=True, slots=True)
class DrainEnded:
    """The time for balancers to notice is over."""


@dataclass(frozen=True, slots=True)
class ClockJumped:
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
    | UpgradeAsked
    | LoadMeasured
    | ConnectionWaits
    | QueueChecked
    | UpgradeTried
    | UpgradeRefused
    | ScaleAsked
    | PauseAsked
    | ResumeAsked
    | StopAsked
    | DrainAsked
    | DrainEnded
    | ClockJumped
)
