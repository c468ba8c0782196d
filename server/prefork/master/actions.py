"""What can be decided, and what each decision changes in the state.

Owns: the actions, and `record`, which notes that one is being carried out, so that it is not planned twice.
Runs in: master. Pure. Must not know: how an action is carried out (see `effects`), why (see `plan`).
"""

from __future__ import annotations

import msgspec

from prefork.master import scaling
from prefork.master.recycling import MEASURE_EVERY_S
from prefork.master.scaling import SAMPLE_S
from prefork.master.state import (
    DUMP_GRACE_S,
    EXIT_GRACE_S,
    STOP_GRACE_S,
    Generation,
    GenerationPhase,
    Phase,
    Pool,
    Slot,
    Stop,
    Worker,
    ZygotePhase,
)


class SpawnWorker(msgspec.Struct, frozen=True):
    """Have the zygote of `generation` fork a worker for `slot`."""

    worker: int
    slot: int
    generation: int
    beside: bool = False
    """Somebody serves in that slot until it does, and need not leave soon."""


class DrainWorker(msgspec.Struct, frozen=True):
    """Tell a worker to finish what it has and leave."""

    worker: int
    reason: str


class StopWorker(msgspec.Struct, frozen=True):
    """Tell a worker to leave at once."""

    worker: int
    reason: str


class TerminateWorker(msgspec.Struct, frozen=True):
    """End a worker that does not serve yet (SIGTERM)."""

    worker: int
    reason: str


class DumpWorker(msgspec.Struct, frozen=True):
    """Ask a worker that hangs for its Python stacks."""

    worker: int


class KillWorker(msgspec.Struct, frozen=True):
    """SIGKILL."""

    worker: int
    why: str


class RecycleWorker(msgspec.Struct, frozen=True):
    """Mark a worker: it serves until its replacement does."""

    worker: int
    reason: str


class MeasureMemory(msgspec.Struct, frozen=True):
    """Look at the memory of every worker."""


class MeasureLoad(msgspec.Struct, frozen=True):
    """Look at how busy the workers are, and who waits."""


class CheckQueue(msgspec.Struct, frozen=True):
    """Look who waits to be accepted."""


class EndDrain(msgspec.Struct, frozen=True):
    """Balancers have had their time: if a stop was to follow, it begins."""


class BeginReload(msgspec.Struct, frozen=True):
    """Read the settings and start the zygote of a new generation."""


class BeginRestart(msgspec.Struct, frozen=True):
    """Start a new generation with the settings of the active one, whose zygote died."""


class BeginRollback(msgspec.Struct, frozen=True):
    """Give the parked generation what it needs to serve again."""

    generation: int


class Retire(msgspec.Struct, frozen=True):
    """The parked generation is given up: it will not come back."""

    generation: int


class TryUpgrade(msgspec.Struct, frozen=True):
    """Run the new program in a child, to see whether it could take over."""


class KillTrial(msgspec.Struct, frozen=True):
    """SIGKILL."""

    why: str


class ExecuteProgram(msgspec.Struct, frozen=True):
    """Become the new program."""


class Commit(msgspec.Struct, frozen=True):
    """The candidate has proved itself: it is the active generation now."""

    generation: int


class Abort(msgspec.Struct, frozen=True):
    """The candidate failed: close what was opened for it."""

    generation: int


class Forget(msgspec.Struct, frozen=True):
    """Nothing of a generation is left: release what the master keeps for it."""

    generation: int


class ExitZygote(msgspec.Struct, frozen=True):
    """Tell a zygote to leave."""

    generation: int


class DumpZygote(msgspec.Struct, frozen=True):
    """Ask a zygote that hangs for its Python stacks."""

    generation: int


class KillZygote(msgspec.Struct, frozen=True):
    """SIGKILL."""

    generation: int
    why: str


class Finish(msgspec.Struct, frozen=True):
    """Nothing is left to supervise: leave the loop."""


WorkerAction = RecycleWorker | DrainWorker | StopWorker | TerminateWorker | DumpWorker | KillWorker
ZygoteAction = ExitZygote | DumpZygote | KillZygote
GenerationAction = Commit | Abort | Retire | Forget
MeasureAction = MeasureMemory | MeasureLoad | CheckQueue
UpgradeAction = TryUpgrade | KillTrial | ExecuteProgram
BeginAction = BeginReload | BeginRestart | BeginRollback
Action = (
    SpawnWorker
    | WorkerAction
    | ZygoteAction
    | GenerationAction
    | BeginAction
    | UpgradeAction
    | MeasureAction
    | EndDrain
    | Finish
)


def record(pool: Pool, action: Action, now: float) -> None:
    """Note that `action` is being carried out at `now`."""
    if isinstance(action, SpawnWorker):
        limits = pool.generations[action.generation].limits
        deadline = now + limits.boot_timeout_s
        slot = pool.slots.setdefault(action.slot, Slot(action.slot))
        pool.workers[action.worker] = Worker(
            action.worker, action.slot, action.generation, deadline, restarts=slot.workers
        )
        slot.workers += 1
        pool.next_worker_id = action.worker + 1
        if pool.stop is not Stop.NO:
            pool.last_wanted, pool.last_worker = False, action.worker
    elif isinstance(action, WorkerAction):
        _record_worker(pool, action, now)
    elif isinstance(action, ExitZygote | DumpZygote | KillZygote):
        _record_zygote(pool, action, now)
    elif isinstance(action, Commit | Abort | Retire | Forget):
        _record_generation(pool, action, now)
    elif isinstance(action, MeasureMemory):
        pool.measure_at = now + MEASURE_EVERY_S
    elif isinstance(action, CheckQueue):
        pool.queue_checked = True
    elif isinstance(action, MeasureLoad):
        pool.load.sample_at = now + SAMPLE_S
    elif isinstance(action, UpgradeAction):
        _record_upgrade(pool, action)
    elif isinstance(action, EndDrain):
        assert pool.drain is not None, "only one that goes on ends"
        pool.drain.over = True
        if pool.drain.stop and pool.stop is Stop.NO:
            pool.stop = Stop.GRACEFUL
    elif isinstance(action, BeginReload):
        pool.reload_wanted = False
    elif isinstance(action, BeginRollback):
        pool.rollback_wanted = False
    elif isinstance(action, BeginRestart):
        # Until the new generation is known; a failure to start it sets the next time.
        pool.restart_at = now
    else:
        pool.finished = True


def _record_upgrade(pool: Pool, action: UpgradeAction) -> None:
    if isinstance(action, TryUpgrade):
        pool.upgrade_wanted = False
    elif isinstance(action, ExecuteProgram):
        pool.upgrade_due = False
    else:
        assert pool.trial is not None, "only one that runs is killed"
        pool.trial.killed = action.why


def _record_worker(pool: Pool, action: WorkerAction, now: float) -> None:
    worker = pool.workers[action.worker]
    if isinstance(action, RecycleWorker):
        worker.replace = action.reason
    elif isinstance(action, DrainWorker):
        limits = pool.generations[worker.generation].limits
        worker.phase, worker.deadline = Phase.DRAINING, now + limits.drain_timeout_s
        worker.reason = action.reason
    elif isinstance(action, StopWorker | TerminateWorker):
        worker.phase, worker.deadline = Phase.STOPPING, now + STOP_GRACE_S
        worker.reason = action.reason
    elif isinstance(action, DumpWorker):
        worker.phase, worker.deadline = Phase.HUNG, now + DUMP_GRACE_S
    else:
        worker.phase, worker.killed = Phase.KILLED, action.why


def _record_zygote(pool: Pool, action: ZygoteAction, now: float) -> None:
    generation = pool.generations[action.generation]
    if isinstance(action, ExitZygote):
        generation.zygote, generation.deadline = ZygotePhase.LEAVING, now + EXIT_GRACE_S
    elif isinstance(action, DumpZygote):
        generation.zygote, generation.deadline = ZygotePhase.HUNG, now + DUMP_GRACE_S
    else:
        generation.zygote, generation.zygote_killed = ZygotePhase.KILLED, action.why


def _record_generation(pool: Pool, action: GenerationAction, now: float) -> None:
    generation = pool.generations[action.generation]
    if isinstance(action, Commit):
        previous = pool.active_generation
        assert previous is not None, "the first generation becomes active when it serves"
        _park(pool, previous, generation, now)
        generation.phase = GenerationPhase.ACTIVE
        pool.active, pool.candidate = generation.number, None
        scaling.committed(pool, previous.target, generation.target)
        pool.restart_failures = 0
    elif isinstance(action, Abort):
        generation.aborted = True
    elif isinstance(action, Retire):
        generation.phase, pool.rollback_wanted = GenerationPhase.RETIRED, False
    else:
        del pool.generations[action.generation]


def _park(pool: Pool, previous: Generation, successor: Generation, now: float) -> None:
    """Keep `previous` for a rollback, if that is wanted and it still can fork; then it is the only one kept."""
    previous.returning = False
    if not previous.can_fork or not successor.limits.rollback_window_s:
        previous.phase = GenerationPhase.RETIRED
        return
    older = pool.parked_generation
    if older is not None:
        older.phase = GenerationPhase.RETIRED
    previous.phase = GenerationPhase.PARKED
    previous.parked_until = now + successor.limits.rollback_window_s
