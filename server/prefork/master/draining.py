"""A drain: the server says that it is not ready, and goes on serving until whoever sends it clients has noticed.

Owns: what asks for one, what ends one, and when. Runs in: master. Pure: no clock, no system call. Must not know: who asks
whether the server is ready (the status process does, of `ipc.status`).

Balancers look every few seconds. A server that stops before they have looked refuses clients that are still sent to it.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefork.master.events import DrainAsked, StopAsked
from prefork.master.notes import Note
from prefork.master.state import Drain, Pool, Stop


def asked(pool: Pool, event: DrainAsked, now: float) -> list[Note]:
    """`prefork drain`: no stop follows by itself, and a resume ends it."""
    drain = pool.drain
    if drain is None:
        return [_begin(pool, delay_s(pool, event.delay_s), event.by, now)]
    if event.delay_s is not None and not drain.stop:
        drain.until, drain.over = now + event.delay_s, False
    if drain.over:
        # Whoever asked waits for this.
        return [_over(drain)]
    return []


def stop_asked(pool: Pool, event: StopAsked, now: float) -> list[Note] | None:
    """A graceful stop of a server that is not stopping yet; None: it is to begin at once."""
    drain = pool.drain
    if drain is None:
        seconds = delay_s(pool, event.delay_s)
        if not seconds or pool.paused or pool.active is None:
            # Nobody serves: there is nothing to go on with.
            return None
        note = _begin(pool, seconds, event.by, now)
        assert pool.drain is not None
        pool.drain.stop = True
        return [note]
    if drain.over or drain.stop or event.delay_s == 0:
        # The balancers have had their time, or somebody asks a second time: that means now.
        return None
    drain.stop, drain.by = True, event.by
    return [Note("info", "stop_awaits_drain", {"by": event.by, "for_s": round(drain.until - now, 1)})]


def ended(pool: Pool) -> list[Note]:
    """Its time is over (recorded already)."""
    assert pool.drain is not None
    notes = [_over(pool.drain)]
    if pool.stop is not Stop.NO:
        notes.append(Note("info", "stopping", {"how": "graceful", "by": pool.drain.by}))
    return notes


def resumed(pool: Pool) -> list[Note]:
    """Ready again; unless a stop is to follow, which whoever asked for it counts on."""
    if pool.drain is None or pool.drain.stop:
        return []
    pool.drain = None
    return [Note("info", "drain_ended", {"by": "resume"})]


def due(pool: Pool, now: float) -> bool:
    """Whether its time is over."""
    return pool.drain is not None and not pool.drain.over and now >= pool.drain.until


def deadlines(pool: Pool) -> Iterator[float]:
    """When that will be."""
    if pool.drain is not None and not pool.drain.over:
        yield pool.drain.until


def delay_s(pool: Pool, asked_s: float | None) -> float:
    """How long to go on: as asked, else as the settings in force have it."""
    if asked_s is not None:
        return asked_s
    active = pool.active_generation
    return 0.0 if active is None else active.limits.drain_delay_s


def _begin(pool: Pool, seconds: float, by: str, now: float) -> Note:
    pool.drain = Drain(since=now, until=now + seconds, by=by)
    hint = "not ready any more (/readyz), and serving on"
    return Note("info", "draining", {"for_s": round(seconds, 1), "by": by, "hint": hint})


def _over(drain: Drain) -> Note:
    return Note("info", "drained", {"after_s": round(drain.until - drain.since, 1)})
