"""The state of an upgrade: wanted, tried, due.

Owns: what each event of it changes, and when the next step is due. Runs in: master. Pure. Must not know: how a program is tried
or executed (see `upgrade`).
"""

from __future__ import annotations

from collections.abc import Iterator

from prefork.master.events import ProcessEnded, UpgradeRefused, UpgradeTried
from prefork.master.notes import Note
from prefork.master.state import Failure, Pool, Stop, Trial


def asked(pool: Pool, by: str) -> list[Note]:
    """Somebody wants it; one that is on its way is enough."""
    if pool.upgrade_wanted or pool.trial is not None or pool.upgrade_due:
        return [Note("info", "upgrade_queued", {"by": by})]
    pool.upgrade_wanted = True
    return [Note("info", "upgrade_asked", {"by": by})]


def may_begin(pool: Pool) -> bool:
    """The trial may start: nothing else is being tried."""
    return pool.upgrade_wanted and pool.trial is None and pool.candidate is None and pool.active is not None


def may_execute(pool: Pool) -> bool:
    """The trial has succeeded, and no generation is halfway."""
    return pool.upgrade_due and pool.candidate is None and not pool.reload_wanted


def deadlines(pool: Pool) -> Iterator[float]:
    """When something is to be done although nothing happens."""
    if pool.trial is not None and not pool.trial.killed:
        yield pool.trial.deadline


def tried(pool: Pool, event: UpgradeTried) -> list[Note]:
    """The new program runs, to see whether it could take over."""
    pool.trial = Trial(event.pid, event.deadline)
    return [Note("info", "upgrade_trial_started", {"pid": event.pid})]


def refused(pool: Pool, event: UpgradeRefused) -> list[Note]:
    """It will not happen; the running program goes on."""
    pool.upgrade_wanted = pool.upgrade_due = False
    failure = event.failure
    fields: dict[str, object] = {"stage": failure.stage, "error": failure.error, "serving_gen": pool.active}
    return [Note("error", "upgrade_failed", fields, failure.traceback)]


def trial_ended(pool: Pool, trial: Trial, event: ProcessEnded) -> list[Note]:
    """The new program has said what it thinks."""
    pool.trial = None
    if pool.stop is not Stop.NO:
        return []
    if event.exit.code == 0:
        pool.upgrade_due = True
        return [Note("info", "upgrade_trial_succeeded", {"pid": trial.pid})]
    said = event.stacks.splitlines()[-1:] or [f"the new program ended: {event.exit}"]
    error = trial.killed or said[0].removeprefix("prefork: ")
    return refused(pool, UpgradeRefused(Failure("trial", error, event.stacks)))
