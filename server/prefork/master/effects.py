"""Actions become messages, signals and closed descriptors.

Owns: how each action is carried out. Runs in: master. Must not know: why (see `plan`), and the state beyond what an action
names.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterable, Sequence

from prefork.ipc.boot import STACKS_SIGNAL
from prefork.ipc.channel import Channel
from prefork.ipc.messages import Drain, Exit, ReopenLogs, Spawn, Stop
from prefork.master import actions, events
from prefork.master.courtesy import Courtesy
from prefork.master.generations import Generations
from prefork.master.links import Links
from prefork.master.load import LoadMeter
from prefork.master.memory import own_memory
from prefork.master.processes import Processes
from prefork.master.state import Pool
from prefork.master.upgrade import Upgrade

SPARE_DESCRIPTORS = 32
"""So many are left for commands and reloads, or an eighth of all: workers that cannot be had must not lock out who would help."""


class Effects:
    """Carries out one action at a time. What it finds out at once comes back as events."""

    def __init__(
        self,
        pool: Pool,
        processes: Processes,
        links: Links,
        generations: Generations,
        upgrade: Upgrade,
        last_orders: Callable[[], Sequence[int] | None],
        clock: Callable[[], float],
    ) -> None:
        """`last_orders`: see `Upgrade.execute`."""
        self._pool = pool
        self._processes = processes
        self._links = links
        self._generations = generations
        self._upgrade = upgrade
        self._last_orders = last_orders
        self._clock = clock
        self._load_meter = LoadMeter(pool, generations, clock)
        self.courtesy = Courtesy(clock)

    def carry_out(self, action: actions.Action) -> Iterable[events.Event]:
        """Do it. The state has recorded it already."""
        match action:
            case actions.SpawnWorker():
                return self._spawn(action)
            case actions.RecycleWorker():
                self._tell_recycling(action)
            case actions.MeasureMemory():
                return self._measure()
            case actions.CheckQueue():
                return [events.QueueChecked(self._load_meter.queue_length())]
            case actions.MeasureLoad():
                return [self._load_meter.measure()]
            case actions.DrainWorker():
                self._drain(action)
            case actions.StopWorker():
                self._links.tell_worker(action.worker, Stop(reason=action.reason))
            case actions.TerminateWorker():
                self._signal_worker(action.worker, signal.SIGTERM)
            case actions.DumpWorker():
                self._signal_worker(action.worker, STACKS_SIGNAL)
            case actions.KillWorker():
                return self._kill_worker(action)
            case actions.ExitZygote():
                self._links.tell_zygote(action.generation, Exit())
            case actions.DumpZygote():
                self._signal_zygote(action.generation, STACKS_SIGNAL)
            case actions.KillZygote():
                self._signal_zygote(action.generation, signal.SIGKILL)
            case actions.BeginReload():
                return [self._begin_reload()]
            case actions.BeginRestart():
                return [self._restart()]
            case actions.BeginRollback():
                return [self._generations.rollback(action.generation)]
            case actions.EndDrain():
                return [events.DrainEnded()]
            case actions.Retire():
                self._generations.log.info("rollback_ended", gen=action.generation)
            case actions.TryUpgrade():
                return [self._try_upgrade()]
            case actions.KillTrial():
                self._kill_trial()
            case actions.ExecuteProgram():
                return [self._upgrade.execute(self._last_orders)]
            case actions.Commit():
                self._commit(action.generation)
            case actions.Abort():
                self._generations.abort(action.generation)
            case actions.Forget():
                self._generations.forget(action.generation)
            case actions.Finish():
                pass
        return ()

    def notice(self, event: events.Event) -> None:
        """It has happened, and the state says so."""
        if isinstance(event, events.WorkerForked | events.WorkerAccepts):
            worker = self._pool.workers.get(event.worker)
            if worker is None or worker.pid is None:
                return
            if worker.is_booting:
                self.courtesy.adopt(worker.pid)
            else:
                self.courtesy.come_back(worker.pid)

    def trial_output(self) -> str:
        """What the trial of a new program said."""
        return self._upgrade.output()

    def reopen_logs(self) -> None:
        """Fresh log files for everybody, under the numbers everybody has."""
        for generation, resources in self._generations.items():
            fds = self._generations.files.files_among(resources.log_fds)
            if not fds:
                continue
            message = ReopenLogs(targets=fds)
            channels = [self._links.zygotes.get(generation)]
            channels += [self._links.workers.get(each.id) for each in self._pool.of_generation(generation)]
            for channel in channels:
                if channel is not None:
                    channel.send(message, fds)

    def _commit(self, generation: int) -> None:
        zygote = self._pool.generations[generation].zygote_pid
        if zygote is not None:
            self.courtesy.come_back(zygote)
        self._generations.commit(generation)

    def _begin_reload(self) -> events.Event:
        started = self._generations.reload()
        if isinstance(started, events.GenerationStarted) and self._pool.active is not None:
            self.courtesy.step_back(started.zygote_pid, same_user=started.same_user)
        return started

    def _restart(self) -> events.Event:
        started = self._generations.restart()
        if isinstance(started, events.GenerationStarted):
            # A spare one may have been forked by one that had stepped back.
            self.courtesy.come_back(started.zygote_pid)
        return started

    def _try_upgrade(self) -> events.Event:
        timeout_s = self._generations.in_force.settings.workers.boot_timeout
        tried = self._upgrade.begin(timeout_s, self._clock())
        if isinstance(tried, events.UpgradeTried):
            self.courtesy.step_back(tried.pid, same_user=True)
        return tried

    def _kill_trial(self) -> None:
        if self._pool.trial is not None:
            self._processes.kill(self._pool.trial.pid, signal.SIGKILL)

    def _spawn(self, action: actions.SpawnWorker) -> list[events.Event]:
        zygote = self._links.zygotes.get(action.generation)
        pid = self._pool.generations[action.generation].zygote_pid
        if pid is not None and action.beside:
            # Workers inherit how it is scheduled, until they accept.
            self.courtesy.step_back(pid, same_user=self._generations.is_our_user(action.generation))
        elif pid is not None:
            self.courtesy.come_back(pid)
        try:
            ours, theirs = _channel_for_worker()
        except OSError as error:
            hint = "two are needed for each worker (LimitNOFILE=, ulimit -n)"
            return [events.WorkerNotForked(action.worker, f"{error.strerror}: {hint}")]
        row = self._generations.row_for(action.worker, action.slot, action.generation)
        metrics = self._generations.region_for(action.worker, action.slot, action.generation)
        message = Spawn(worker_id=action.worker, slot=action.slot, row=row, metrics=metrics)
        sent = zygote is not None and zygote.send(message, [theirs.fileno()])
        theirs.close()
        if not sent:
            ours.close()
            return [events.WorkerNotForked(action.worker, "the zygote takes no orders")]
        self._links.add_worker(action.worker, ours)
        return []

    def _tell_recycling(self, action: actions.RecycleWorker) -> None:
        worker = self._pool.workers[action.worker]
        self._generations.log.info(
            "worker_recycling",
            worker=worker.slot,
            gen=worker.generation,
            pid=worker.pid,
            reason=action.reason,
        )

    def _measure(self) -> list[events.Event]:
        found: list[events.Event] = []
        for worker in self._pool.workers.values():
            limits = self._pool.generations[worker.generation].limits
            bounds = [each for each in (limits.max_memory, limits.max_memory_hard) if each]
            if bounds and worker.pid is not None:
                size = own_memory(worker.pid, min(bounds))
                if size is not None:
                    found.append(events.MemoryMeasured(worker.id, size))
        return found

    def _drain(self, action: actions.DrainWorker) -> None:
        worker = self._pool.workers[action.worker]
        stopping = action.reason == "stop"
        backlog = self._generations.to_empty(worker.generation, stopping=stopping)
        ending = self._generations.end_listening(worker.generation) if stopping else []
        self._links.tell_worker(action.worker, Drain(reason=action.reason, backlog=backlog, ending=ending))

    def _kill_worker(self, action: actions.KillWorker) -> list[events.Event]:
        """Without a pid there may be a process, if its announcement was lost: end of file makes it leave."""
        if self._pool.workers[action.worker].pid is None:
            self._links.drop_worker(action.worker)
            return [events.WorkerChannelEnded(action.worker)]
        self._signal_worker(action.worker, signal.SIGKILL)
        return []

    def _signal_worker(self, worker: int, number: int) -> None:
        pid = self._pool.workers[worker].pid
        if pid is not None:
            self._processes.kill(pid, number)

    def _signal_zygote(self, generation: int, number: int) -> None:
        pid = self._pool.generations[generation].zygote_pid
        if pid is not None:
            self._processes.kill(pid, number)


def _channel_for_worker() -> tuple[Channel, Channel]:
    """Raises OSError if too few descriptors would be left."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours, theirs = Channel.pair()
    # The kernel gives the lowest that is free.
    if limit != resource.RLIM_INFINITY and theirs.fileno() >= limit - min(SPARE_DESCRIPTORS, limit // 8):
        ours.close()
        theirs.close()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return ours, theirs
