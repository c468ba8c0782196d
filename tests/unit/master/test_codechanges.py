"""Development: whose word about changed files counts, and what follows from it."""

from __future__ import annotations

from prefork.master.actions import SpawnWorker, TerminateWorker
from prefork.master.codechanges import changed
from prefork.master.events import CodeChanged
from prefork.master.plan import plan
from prefork.master.state import (
    Generation,
    GenerationPhase,
    Limits,
    Phase,
    Pool,
    Slot,
    Stop,
    Worker,
    ZygotePhase,
)

LIMITS = Limits(boot_timeout_s=10, drain_timeout_s=10)


def pool_of(*workers: Worker) -> Pool:
    generation = Generation(
        number=1,
        target=1,
        limits=LIMITS,
        deadline=10.0,
        zygote_pid=10,
        zygote=ZygotePhase.READY,
        phase=GenerationPhase.ACTIVE,
    )
    return Pool(
        target=1,
        generations={1: generation},
        active=1,
        workers={each.id: each for each in workers},
        next_worker_id=9,
        slots={1: Slot(1, failures=5, retry_at=100.0)},
    )


def worker(number: int, phase: Phase = Phase.ACCEPTING) -> Worker:
    return Worker(number, 1, 1, 10.0, pid=100 + number, phase=phase, ready_at=0.0)


def test_a_serving_worker_is_replaced_at_once_however_often_code_has_crashed() -> None:
    pool = pool_of(worker(1))
    assert changed(pool, CodeChanged(1, "app.py", whole=False), 5.0)
    assert plan(pool, 5.0) == [SpawnWorker(9, 1, 1)]


def test_one_that_still_imports_is_ended_and_another_begins_anew() -> None:
    pool = pool_of(worker(1), worker(2, Phase.BOOTING))
    changed(pool, CodeChanged(2, "app.py", whole=False), 5.0)
    assert TerminateWorker(2, "its code changed") in plan(pool, 5.0)


def test_only_the_youngest_is_listened_to() -> None:
    pool = pool_of(worker(1), worker(2))
    assert changed(pool, CodeChanged(1, "app.py", whole=False), 5.0) == []
    assert not pool.workers[1].replace
    pool.workers[2].phase = Phase.KILLED
    assert changed(pool, CodeChanged(1, "app.py", whole=False), 5.0)


def test_what_the_zygote_has_read_takes_a_generation() -> None:
    pool = pool_of(worker(1))
    changed(pool, CodeChanged(1, "server.toml", whole=True), 5.0)
    assert pool.reload_wanted
    assert not pool.workers[1].replace


def test_nobody_begins_anew_while_the_server_stops() -> None:
    pool = pool_of(worker(1))
    pool.stop = Stop.FAST
    assert changed(pool, CodeChanged(1, "app.py", whole=True), 5.0) == []
    assert not pool.reload_wanted
    assert changed(pool, CodeChanged(7, "app.py", whole=True), 5.0) == []
