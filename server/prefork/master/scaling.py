"""How many workers the load asks for.

Owns: the decision, from samples of busy workers and of the listen queue. Runs in: master. Pure: no clock, nothing is read.
Must not know: how load is measured, how a worker is started.

More workers at once when clients wait or nobody is free, fewer one by one after a calm time. Against flapping: two samples in a
row have to agree; workers on their way count as free; and whoever had to grow soon after shrinking waits twice as long before
the next time (up to `MAX_PATIENCE_S`; a penalty as uWSGI's "busyness" has it).

At its smallest, with nothing to do, the pool rests: it is not looked at until a connection arrives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from prefork.master.events import LoadMeasured
from prefork.master.notes import Note
from prefork.master.state import Load, Phase, Pool, Stop

SAMPLE_S = 0.2
"""Between two looks at the load."""

AGREE = 2
"""So many samples in a row have to ask for more."""

PATIENCE_S = 10.0
"""Calm before the first worker goes; then one every `STEP_DOWN_S`."""

MAX_PATIENCE_S = 160.0
STEP_DOWN_S = 2.0

FORGIVE_S = 600.0
"""Without growing for so long, patience is what it was."""

REST_AFTER_S = 5.0

_SMOOTHING = 0.2
"""Weight of a new sample in the mean of busy workers: the last second or so counts."""


class Sample(msgspec.Struct, frozen=True):
    """The load at one moment."""

    busy: float
    """Workers' worth of running requests: a worker with two of its four threads busy is a half."""
    workers: int
    """That serve."""
    starting: int
    queue: int
    """Connections that nobody has accepted yet."""


def decide(load: Load, bounds: tuple[int, int], target: int, sample: Sample, now: float) -> int:
    """How many workers there should be; `load` remembers what led to it."""
    least, most = bounds
    load.busy += (sample.busy - load.busy) * _SMOOTHING
    if now - load.grown_at > FORGIVE_S:
        load.patience_s = PATIENCE_S
    if _is_pressed(sample):
        load.calm_since = None
        load.pressed += 1
        if load.pressed < AGREE and target > 0:
            return target
        return _grow(load, least, most, target, now)
    load.pressed = 0
    if not sample.starting:
        load.step = 1
    needed = _needed(load, least, most)
    if needed >= target:
        load.calm_since = None
        return max(target, least)
    if load.calm_since is None:
        load.calm_since = now
    if now - load.calm_since < load.patience_s:
        return target
    load.calm_since += STEP_DOWN_S
    load.shrunk_at = now
    return target - 1


def is_at_rest(load: Load, bounds: tuple[int, int], target: int, sample: Sample, now: float) -> bool:
    """Nothing happens, and nothing could be spared: whether the next look can wait for a connection."""
    if sample.busy or sample.queue or sample.starting or target > bounds[0]:
        load.idle_since = None
        return False
    if load.idle_since is None:
        load.idle_since = now
    return target == 0 or now - load.idle_since >= REST_AFTER_S


def _is_pressed(sample: Sample) -> bool:
    free = sample.workers + sample.starting - sample.busy
    waiting = sample.queue > 0 and not sample.starting
    return waiting or free < 0.5


def _grow(load: Load, least: int, most: int, target: int, now: float) -> int:
    if target >= most:
        return most
    if now - load.shrunk_at < load.patience_s:
        load.patience_s = min(MAX_PATIENCE_S, 2 * load.patience_s)
    grown = min(most, max(target + load.step, least))
    load.pressed, load.grown_at = 0, now
    load.step = min(2 * load.step, most)
    return grown


def _needed(load: Load, least: int, most: int) -> int:
    """What is busy, and one that is free; nobody at all for no load."""
    busy = math.ceil(load.busy - 0.05)
    return min(most, max(least, busy + 1 if busy > 0 else least))


# the pool -----------------------------------------------------------------------------------------------------------


def bounds(pool: Pool) -> tuple[int, int] | None:
    """The range of the active generation; None: its number of workers is fixed."""
    active = pool.active_generation
    return None if active is None else active.limits.bounds


def watches(pool: Pool) -> bool:
    """Whether the load is looked at, at `pool.load.sample_at`."""
    return bounds(pool) is not None and pool.stop is Stop.NO and not pool.paused and not pool.load.resting


def deadlines(pool: Pool) -> Iterator[float]:
    """When something is to be done here."""
    if watches(pool):
        yield pool.load.sample_at


def measured(pool: Pool, event: LoadMeasured, now: float) -> list[Note]:
    """So it is at this moment. Who goes is whoever was idle longest: it has the least to lose, and its memory is cold."""
    limits = bounds(pool)
    if limits is None or not watches(pool):
        return []
    phases = [worker.phase for worker in pool.workers.values()]
    starting = sum(worker.is_booting for worker in pool.workers.values())
    sample = Sample(event.busy, phases.count(Phase.ACCEPTING), starting, event.queue)
    before = pool.target
    # A candidate has to prove itself with a worker of its own.
    limits = (max(1, limits[0]), limits[1]) if pool.candidate is not None else limits
    target = decide(pool.load, limits, before, sample, now)
    if target == before - 1 and event.idlest in pool.wanted_slots:
        pool.vacate(event.idlest)
    else:
        pool.resize(target)
    pool.load.resting = pool.candidate is None and is_at_rest(pool.load, limits, pool.target, sample, now)
    if pool.target == before:
        return []
    fields = {
        "workers": pool.target,
        "was": before,
        "busy": round(pool.load.busy, 1),
        "queue": event.queue or None,
    }
    return [Note("info", "scaled", {**fields, "by": "load"})]


def wake(pool: Pool) -> None:
    """Somebody is needed, and the load is looked at again."""
    pool.load.resting, pool.load.idle_since = False, None
    pool.resize(max(1, pool.target))


def connection_waits(pool: Pool, now: float) -> list[Note]:
    """Somebody came while the pool was at rest. With nobody there to accept, one worker starts at once."""
    pool.load.resting, pool.load.idle_since, pool.load.sample_at = False, None, now + SAMPLE_S
    if pool.target > 0 or pool.paused or pool.stop is not Stop.NO:
        return []
    pool.resize(1)
    return [Note("info", "scaled", {"workers": 1, "was": 0, "by": "load"})]


def committed(pool: Pool, previous: int, generation: int) -> None:
    """Another generation's settings are in force: `previous` and `generation` workers are what the two ask for."""
    limits = bounds(pool)
    if limits is not None:
        pool.resize(min(limits[1], max(limits[0], pool.target)))
    elif previous != generation:
        # A count set by hand (TTIN, TTOU) stays unless the settings have changed theirs.
        pool.resize(generation)
