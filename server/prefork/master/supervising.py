"""The supervision, put together.

Owns: who is told of whom. Runs in: master. Must not know: what any of them does.

Imported when the first zygote has been started and told all it has to know: while that imports the application, there is time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from prefork.ipc.control import Result
from prefork.master.handover import Handover
from prefork.master.held import Held, Means
from prefork.master.hookcalls import HookCalls
from prefork.master.overseer import Overseer
from prefork.master.queues import ListenQueues
from prefork.master.queuewatch import QueueWatch
from prefork.master.signals import SignalInbox
from prefork.master.snapshot import Snapshots
from prefork.master.stacktaking import StackTaking
from prefork.master.statsd import Statsd
from prefork.master.statuskeeper import StatusKeeper
from prefork.master.supervisor import Supervisor
from prefork.master.takeover import describe
from prefork.master.upgrade import Program, Upgrade
from prefork.net.overflows import listen_overflows


def supervise(held: Held, means: Means, inbox: SignalInbox, program: Program | None) -> int:
    """Until the last process has ended; returns the exit code."""
    pool, generations, control = held.pool, held.generations, held.control

    def written_down(waiting: Sequence[int]) -> Handover:
        status = status_keeper.handed_over()
        remembered = snapshots.remembered()
        return describe(pool, means.links, generations, control, held.pid_file, waiting, status, remembered)

    stack_taking = StackTaking(means.processes.kill, time.monotonic)
    overseer = Overseer(pool, means.processes, generations, generations.board, stack_taking)
    upgrade = Upgrade(means.processes, program, written_down, means.service.hand_over)
    queues = ListenQueues(generations)
    queue_watch = QueueWatch(queues, generations.log, listen_overflows, time.monotonic)
    snapshots = Snapshots(pool, generations, queues, time.monotonic)
    snapshots.remember(held.remembered)
    status_keeper = StatusKeeper(
        means.processes,
        means.links,
        generations,
        lambda: msgspec.json.encode(snapshots.take()),
        time.monotonic,
    )
    status_keeper.take_over(held.status)
    statsd = Statsd(
        lambda: generations.in_force.settings.statsd, snapshots.take, generations.log, time.monotonic
    )
    supervisor = Supervisor(
        pool,
        means.processes,
        inbox,
        means.links,
        generations,
        overseer,
        control,
        upgrade,
        snapshots,
        status_keeper,
        means.service,
        statsd,
        queue_watch,
        time.monotonic,
        time.sleep,
    )
    hook_calls = HookCalls(pool, means.links, generations.log.warn_with, time.monotonic)
    generations.log.follow(hook_calls.hear)
    means.service.attach(
        generations.log,
        snapshots.take,
        lambda: generations.in_force.all_listeners,
        resumed=pool.complete,
    )
    supervisor.adopt_waiting(held.waiting)
    code = supervisor.run(held.first)
    generations.close()
    generations.log.info("stopped", code=code)
    error = "" if code == 0 else f"the server has ended with exit code {code}"
    control.close(Result(ok=code == 0, text="stopped", error=error))
    return code
