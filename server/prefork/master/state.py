"""What the master knows: the pool, its slots, workers and generations.

Owns: the data, and questions about it that have one answer. Runs in: master. Changed only by `events` (something happened)
and `actions` (something was decided). Must not know: processes, sockets, files, the clock (times are given, in seconds
of a monotonic clock).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from enum import Enum

import msgspec

STABLE_AFTER_S = 2.0
"""A worker that served this long is no sign of a crash loop when it dies."""

STOP_GRACE_S = 1.0
"""Between a fast stop and SIGKILL."""

DUMP_GRACE_S = 0.5
"""Between asking a process that hangs for its Python stacks and SIGKILL."""

EXIT_GRACE_S = 5.0
"""For the exit handlers of the application in a zygote."""

MAX_EARLY_DEATHS = 3
"""So many workers of a candidate that die within STABLE_AFTER_S of being ready end a reload."""


class Phase(Enum):
    """The life of a worker, in order."""

    BOOTING = "booting"
    """Asked for; until it accepts connections."""
    HUNG = "hung"
    """Boot took too long; it has been asked for its Python stacks."""
    ACCEPTING = "accepting"
    DRAINING = "draining"
    """Told to finish what it has and leave."""
    STOPPING = "stopping"
    """Told to leave at once."""
    LOST = "lost"
    """Its channel ended; its exit should follow at once."""
    KILLED = "killed"
    """SIGKILL was sent."""


class ZygotePhase(Enum):
    """The life of a zygote, in order."""

    BOOTING = "booting"
    HUNG = "hung"
    READY = "ready"
    LEAVING = "leaving"
    KILLED = "killed"
    GONE = "gone"


class GenerationPhase(Enum):
    """The life of a generation: one configuration and one image of the code."""

    BOOTING = "booting"
    """Its zygote imports the application."""
    READY = "ready"
    """A candidate: it can make workers, and has to prove itself."""
    ACTIVE = "active"
    PARKED = "parked"
    """A later one has taken over; its zygote is kept, so that a rollback can bring it back."""
    RETIRED = "retired"
    """A later one has taken over, and it will not come back."""
    FAILED = "failed"


class Stop(Enum):
    """Whether the server is to end."""

    NO = "no"
    GRACEFUL = "graceful"
    FAST = "fast"


class Limits(msgspec.Struct, frozen=True):
    """Settings of a generation that supervision needs."""

    boot_timeout_s: float
    drain_timeout_s: float
    rollback_window_s: float = 0.0
    """How long the generation that this one replaces is kept; 0: not at all."""
    drain_delay_s: float = 0.0
    """How long a server that is told to stop goes on serving, not ready any more."""
    max_lifetime_s: float = 0.0
    """0: no limit; so are the next two."""
    max_memory: int = 0
    """Bytes, after which a worker is replaced, and those after which it is killed."""
    max_memory_hard: int = 0
    bounds: tuple[int, int] | None = None
    """Between which numbers of workers the load decides; None: their number is fixed."""


class Failure(msgspec.Struct, frozen=True):
    """Why something did not come up."""

    stage: str
    error: str
    traceback: str = ""


class Worker(msgspec.Struct):
    """One worker process, from the moment it is asked for until it has been collected."""

    id: int
    slot: int
    generation: int
    deadline: float
    """When the next, harder measure is due (if the phase has one)."""
    pid: int | None = None
    """None until its zygote's fork has been announced."""
    phase: Phase = Phase.BOOTING
    ready_at: float | None = None
    reason: str = ""
    """Why it was told to leave."""
    killed: str = ""
    """Why it was sent SIGKILL."""
    replace: str = ""
    """Why it is to be replaced although its generation is wanted; empty: it is not."""
    recycle_at: float | None = None
    """When it is to be marked for that, and why."""
    recycle_why: str = ""
    urgent: bool = False
    """Its replacement is not put off for one that only makes room."""
    outdated: bool = False
    """It does not serve yet, and what it reads has changed: another one is to begin anew."""
    doomed: str = ""
    """Why it is to be killed at once; empty: it is not."""
    failure: Failure | None = None
    """What it said about its failed boot."""
    restarts: int = 0
    """Workers that its slot has had before."""

    @property
    def is_booting(self) -> bool:
        """On its way to serve."""
        return self.phase in (Phase.BOOTING, Phase.HUNG)


class Slot(msgspec.Struct):
    """A place in the pool; what people call "worker 2"."""

    number: int
    failures: int = 0
    """Deaths in a row before ready or soon after. In a row: since the last one nobody has served here for long, or until told to
    leave."""
    failed_at: float = 0.0
    """When the last of them was."""
    retry_at: float = 0.0
    """Not before this time is a worker started here."""
    workers: int = 0
    """Asked for here so far."""
    last_exit: str = ""
    """Why the last one that ended did: the reason to replace it, or what killed it."""


class Generation(msgspec.Struct):
    """One configuration, one zygote, and the workers forked from it."""

    number: int
    target: int
    """How many workers its settings ask for."""
    limits: Limits
    deadline: float
    """When the next, harder measure against its zygote is due (if the zygote's phase has one)."""
    zygote_pid: int | None = None
    zygote: ZygotePhase = ZygotePhase.BOOTING
    phase: GenerationPhase = GenerationPhase.BOOTING
    restart: bool = False
    """It has the settings of the active one, whose zygote died."""
    returning: bool = False
    """It was parked, and a rollback makes it a candidate once more."""
    parked_until: float = 0.0
    """When it is given up, while it is parked."""
    preloaded: bool = False
    proven: bool = False
    """One of its workers has accepted connections."""
    early_deaths: int = 0
    failure: Failure | None = None
    told_failures: int = 0
    """How many in a row there were at a number when `failure` was last told; since `told_at` others have failed in the same way
    `untold` times."""
    told_at: float = 0.0
    untold: int = 0
    last_stacks: str = ""
    """What the last of its workers that crashed had left behind."""
    aborted: bool = False
    """It failed, and what it had opened has been closed."""
    zygote_killed: str = ""
    """Why its zygote was sent SIGKILL."""

    @property
    def can_fork(self) -> bool:
        """Its zygote takes orders."""
        return self.zygote is ZygotePhase.READY


BySlot = defaultdict[int, list[Worker]]
"""Some of the workers, by their slots; asked for any other slot it has none."""


class Load(msgspec.Struct):
    """What `scaling` remembers of the load."""

    sample_at: float = 0.0
    """When it is looked at again."""
    resting: bool = False
    """Not before somebody connects."""
    busy: float = 0.0
    """Mean of busy workers over the last second or so."""
    pressed: int = 0
    """Samples in a row that asked for more workers."""
    step: int = 1
    """So many more the next time."""
    calm_since: float | None = None
    idle_since: float | None = None
    patience_s: float = 10.0
    """Calm before a worker goes."""
    grown_at: float = -1e9
    shrunk_at: float = -1e9


class Trial(msgspec.Struct):
    """A child that finds out whether a new program could take over."""

    pid: int
    deadline: float
    killed: str = ""
    """Why it was sent SIGKILL."""


class Drain(msgspec.Struct):
    """The server says that it is not ready, and serves on; see `draining`."""

    since: float
    until: float
    by: str
    """Who asked."""
    stop: bool = False
    """A graceful stop follows."""
    over: bool = False
    """Whoever had to notice has had the time."""


class Pool(msgspec.Struct):
    """Everything the master decides about."""

    target: int = 0
    """How many workers there should be."""
    vacant: list[int] = msgspec.field(default_factory=list)
    """Slots below the last wanted one that the load has emptied, in order; growing fills them first."""
    workers: dict[int, Worker] = msgspec.field(default_factory=dict)
    slots: dict[int, Slot] = msgspec.field(default_factory=dict)
    generations: dict[int, Generation] = msgspec.field(default_factory=dict)
    active: int | None = None
    """The generation that has proved itself last; None until the first has."""
    candidate: int | None = None
    """The generation that is to become active; at most one."""
    next_worker_id: int = 1
    next_generation: int = 1
    gone_cpu_s: float = 0.0
    """Processor time of workers that have been collected."""
    paused: bool = False
    complete: bool = False
    """Once, all slots served."""
    reload_wanted: bool = False
    rollback_wanted: bool = False
    measure_at: float = 0.0
    """When the workers' memory is looked at again, if it is limited."""
    load: Load = msgspec.field(default_factory=Load)
    upgrade_wanted: bool = False
    trial: Trial | None = None
    upgrade_due: bool = False
    """The trial of the new program has succeeded."""
    restart_failures: int = 0
    restart_at: float = 0.0
    """Not before this time is a generation started for a dead zygote."""
    stop: Stop = Stop.NO
    drain: Drain | None = None
    queue_checked: bool = False
    """Nobody accepted when a graceful stop began, so it was looked who waits."""
    last_wanted: bool = False
    """Somebody does: one more worker is to answer them."""
    last_worker: int | None = None
    exit_code: int = 0
    finished: bool = False

    @property
    def active_generation(self) -> Generation | None:
        """The generation that serves."""
        return None if self.active is None else self.generations[self.active]

    @property
    def candidate_generation(self) -> Generation | None:
        """The generation that tries to."""
        return None if self.candidate is None else self.generations[self.candidate]

    @property
    def parked_generation(self) -> Generation | None:
        """The generation that a rollback brings back; at most one."""
        parked = (each for each in self.generations.values() if each.phase is GenerationPhase.PARKED)
        return next(parked, None)

    @property
    def desired(self) -> int | None:
        """The generation every slot should be served by; None while there is none that can."""
        candidate = self.candidate_generation
        if candidate is not None and candidate.phase is GenerationPhase.READY:
            return candidate.number
        return self.active

    @property
    def is_leaving(self) -> bool:
        """It has been told to stop; so nothing new is begun, even while it serves on."""
        return self.stop is not Stop.NO or (self.drain is not None and self.drain.stop)

    @property
    def size(self) -> int:
        """How many slots are to be filled now."""
        return 0 if self.paused else self.target

    @property
    def wanted_slots(self) -> list[int]:
        """The slots that are to be filled: as many as `size`, from 1 on without those that are vacant."""
        last = self.size + len(self.vacant)
        return [slot for slot in range(1, last + 1) if slot not in self.vacant][: self.size]

    @property
    def rolled_slots(self) -> list[int]:
        """The slots a candidate has to take over before it is committed: those that exist before and after."""
        candidate = self.candidate_generation
        return self.wanted_slots[: candidate.target if candidate else self.size]

    def resize(self, target: int) -> None:
        """Have `target` workers: more fill vacant slots first, fewer leave the last ones."""
        del self.vacant[: max(0, target - self.target)]
        self.target = target
        self._forget_high_vacancies()

    def vacate(self, slot: int) -> None:
        """Have one worker fewer, and not in this slot."""
        self.vacant = sorted({*self.vacant, slot})
        self.target -= 1
        self._forget_high_vacancies()

    def _forget_high_vacancies(self) -> None:
        """A slot after the last wanted one is empty anyway."""
        while self.vacant and self.vacant[-1] >= self.target + len(self.vacant):
            self.vacant.pop()

    def in_slot(self, slot: int) -> Iterator[Worker]:
        """The workers of a slot: usually one, two while one replaces the other, more while some drain."""
        return (worker for worker in self.workers.values() if worker.slot == slot)

    def of_generation(self, number: int) -> Iterator[Worker]:
        """The workers forked from one zygote."""
        return (worker for worker in self.workers.values() if worker.generation == number)

    def accepting(self, slot: int) -> list[Worker]:
        """The workers of a slot that serve."""
        return [worker for worker in self.in_slot(slot) if worker.phase is Phase.ACCEPTING]

    def accepting_by_slot(self) -> BySlot:
        """The workers that serve, of all slots; for who looks at every slot, a pool may be of thousands."""
        found: BySlot = defaultdict(list)
        for worker in self.workers.values():
            if worker.phase is Phase.ACCEPTING:
                found[worker.slot].append(worker)
        return found

    def is_current(self, worker: Worker) -> bool:
        """It serves for the wanted generation, and nothing asks for its replacement."""
        return worker.generation == self.desired and not worker.replace
