"""The resources of all generations: opened for a candidate, swapped at a commit, given back.

Owns: which generation's listeners, log files and settings are in force. Runs in: master. Must not know: workers, when a
generation is started or has proved itself.
"""

from __future__ import annotations

import os
from collections.abc import ItemsView, Mapping, Sequence

import msgspec

from prefork.errors import BootError, ConfigError, ListenError, PreforkError
from prefork.ipc.messages import TakeListeners
from prefork.ipc.metricstore import GONE_BYTES, ZYGOTE, MetricStore
from prefork.ipc.scoreboard import Scoreboard, seats_for
from prefork.master import reload
from prefork.master.deadlines import RequestLimits
from prefork.master.events import GenerationReturns, GenerationStarted, RollbackRefused, StartRefused
from prefork.master.journal import Journal
from prefork.master.launch import launch
from prefork.master.links import Links
from prefork.master.logfiles import LogFiles
from prefork.master.processes import Processes
from prefork.master.resources import LoadSettings, Resources
from prefork.master.spare import Spare
from prefork.master.stacks import Stacks
from prefork.master.state import Failure, Limits, Pool
from prefork.net.listeners import Keeper, Listener, bind_all


class Generations:
    """Resources by number of generation. The one in force is the last that was committed."""

    def __init__(
        self,
        pool: Pool,
        processes: Processes,
        links: Links,
        files: LogFiles,
        load_settings: LoadSettings,
        first: Resources,
        log: Journal,
        baton_fd: int,
        board: Scoreboard,
        metrics: MetricStore,
    ) -> None:
        self._pool = pool
        self._processes = processes
        self._links = links
        self._load_settings = load_settings
        self._resources: dict[int, Resources] = {}
        self.files = files
        self._spare = Spare()
        self.in_force = first
        self.log = log
        self.baton_fd = baton_fd
        self.board = board
        self.metrics = metrics
        """What applications count."""
        metrics.on_full = self._tell_metrics_full

    def restore(self, resources: Mapping[int, Resources]) -> None:
        """After an upgrade: those of the generations that are there already."""
        self._resources.update(resources)

    def items(self) -> ItemsView[int, Resources]:
        """All that are kept."""
        return self._resources.items()

    def start(self, resources: Resources, *, restart: bool = False) -> GenerationStarted:
        """Start a zygote with `resources`. Raises BootError if the process cannot be started."""
        number = self._pool.next_generation
        launched = launch(
            self._processes,
            number,
            resources.for_children,
            identity=resources.identity,
            listeners=resources.addresses,
            log_fd=resources.log_fd,
            access_fd=resources.access_fd,
            slow_fd=resources.slow_fd,
            baton_fd=self.baton_fd,
            scoreboard_fd=self.board.fd,
            metrics=(self.metrics.fd, self.region_for(ZYGOTE | number, 0, number)),
            tls=None if resources.tls is None else resources.tls.material,
            # A server that is never reloaded does not pay for it.
            spare=None if self._pool.active is None else self._spare,
        )
        resources.stacks = launched.stacks
        self._resources[number] = resources
        self._links.add_zygote(number, launched.channel)
        workers = resources.settings.workers
        limits = Limits(
            workers.boot_timeout,
            workers.drain_timeout,
            workers.rollback_window,
            resources.settings.server.drain_delay,
            max_lifetime_s=workers.max_lifetime,
            max_memory=resources.memory_limit(workers.max_memory),
            max_memory_hard=resources.memory_limit(workers.max_memory_hard),
            bounds=resources.worker_bounds,
        )
        return GenerationStarted(
            resources.worker_count, limits, launched.pid, restart, resources.identity.is_current
        )

    def is_our_user(self, number: int) -> bool:
        """Whether its zygote and its workers run as the user that we are."""
        return self._resources[number].identity.is_current

    def reload(self) -> GenerationStarted | StartRefused:
        """Settings are read, checked and compared; what is new is opened; a zygote starts. Or nothing of it."""
        self.log.info("reload_started", gen=self._pool.next_generation)
        candidate = None
        try:
            candidate = reload.candidate(self._load_settings, self.in_force, self.files, self.log)
            return self.start(candidate)
        except PreforkError as error:
            self._discard(candidate)
            return StartRefused(_failure(error))

    def restart(self) -> GenerationStarted | StartRefused:
        """The settings in force once more: the zygote of the active generation died."""
        self.log.info("reload_started", gen=self._pool.next_generation, reason="zygote_died")
        current = self.in_force
        again = Resources(
            current.settings,
            current.identity,
            current.specs,
            current.listeners,
            current.log_fd,
            current.access_fd,
            current.tls,
            status_specs=current.status_specs,
            status_listeners=current.status_listeners,
            slow_fd=current.slow_fd,
            entries=current.entries,
        )
        try:
            return self.start(again, restart=True)
        except PreforkError as error:
            return StartRefused(_failure(error), restart=True)

    def rollback(self, number: int) -> GenerationReturns | RollbackRefused:
        """Give a parked generation its listeners back: those that were closed are bound anew. Or nothing of it."""
        self.log.info("rollback_started", gen=number, from_gen=self._pool.active)
        resources = self._resources[number]
        # Where they really were: a port the system chose is asked for by its number.
        specs = [
            msgspec.structs.replace(spec, address=listener.address)
            for spec, listener in zip(resources.all_specs, resources.all_listeners, strict=True)
        ]
        try:
            bound = bind_all(specs, resources.settings.server.backlog, self.in_force.all_listeners)
        except ListenError as error:
            return RollbackRefused(number, _failure(error))
        listeners = bound[: len(resources.specs)]
        moved = [
            (fd, fresh)
            for (fd, _), old, fresh in zip(resources.addresses, resources.listeners, listeners, strict=True)
            if fresh is not old
        ]
        resources.listeners, resources.status_listeners = listeners, bound[len(listeners) :]
        if moved and not self._replace_listeners(number, moved):
            self._discard(resources)
            return RollbackRefused(number, Failure("listen", "its zygote takes no messages"))
        return GenerationReturns(number)

    def commit(self, number: int) -> None:
        """The candidate's resources are in force; what only the one before needed is closed."""
        previous, self.in_force = self.in_force, self._resources[number]
        self._close_listeners(previous)
        for listener, spec in zip(self.in_force.all_listeners, self.in_force.all_specs, strict=True):
            try:
                listener.change(spec, self.in_force.settings.server.backlog)
            except ListenError as error:
                self.log.error("listener_not_changed", address=listener.address, error=error)
        parked = self._pool.parked_generation
        done = "rollback_done" if self._pool.generations[number].returning else "reload_done"
        self.log.info(done, gen=number, parked_gen=None if parked is None else parked.number)
        self.log.log, self.log.slow = self.in_force.log(), self.in_force.slow_log()

    def abort(self, number: int) -> None:
        """Close what was opened for a candidate that failed."""
        self._discard(self._resources[number])

    def forget(self, number: int) -> None:
        """No process of the generation is left."""
        resources = self._resources.pop(number)
        self._links.drop_zygote(number)
        if resources.stacks is not None:
            resources.stacks.close()
        self._close_files()

    def to_empty(self, number: int, *, stopping: bool) -> list[int]:
        """Listeners whose queue a worker that leaves should empty first: those that nobody else will accept from."""
        resources = self._resources[number]
        if stopping:
            return [fd for fd, _ in resources.addresses]
        desired = self._resources.get(self._pool.desired or number, self.in_force)
        pairs = zip(resources.listeners, resources.addresses, strict=True)
        return [fd for listener, (fd, _) in pairs if listener not in desired.listeners]

    def end_listening(self, number: int) -> list[int]:
        """The server stops: nobody new may come to what is ours alone; gives those listeners. (What a service manager keeps is
        for the next master.)"""
        ours = [
            each
            for each in self._resources[number].listeners
            if each.keeper is Keeper.NOBODY and each.fileno() >= 0
        ]
        for listener in ours:
            listener.refuse_new()
        return [listener.fileno() for listener in ours]

    def row_for(self, worker: int, slot: int, number: int) -> int:
        """Where on the scoreboard a new worker of the generation has its row; -1: nowhere, there is no memory for it."""
        seats = seats_for(self._resources[number].settings.workers.threads)
        try:
            return self.board.assign(worker, slot, number, seats)
        except OSError as error:
            self.log.error("scoreboard_full", worker=slot, gen=number, error=error)
            return -1

    def region_for(self, owner: int, slot: int, number: int) -> int:
        """Where a new process of the generation counts for the application; -1: nowhere. `owner`: see `MetricStore`."""
        try:
            return self.metrics.assign(owner, slot, number)
        except OSError as error:
            self.log.error("metrics_unavailable", worker=slot or None, gen=number, error=error)
            return -1

    def _tell_metrics_full(self) -> None:
        hint = f"there are {GONE_BYTES >> 20} MiB for what workers that are gone have counted; use labels with fewer values"
        self.log.warning("metrics_full", hint=hint)

    def request_limits(self, number: int) -> RequestLimits:
        """How long requests of the generation may take."""
        requests = self._resources[number].settings.requests
        return RequestLimits(requests.slow, requests.timeout, requests.kill_after)

    def stacks_file(self, number: int) -> Stacks | None:
        """Where processes of the generation write their stacks."""
        return self._resources[number].stacks if number in self._resources else None

    def stacks_of(self, number: int) -> str:
        """What processes of the generation wrote about a crash or hang, since it was last asked."""
        resources = self._resources.get(number)
        return "" if resources is None or resources.stacks is None else resources.stacks.take()

    def close(self) -> None:
        """The end of the server: no socket file stays."""
        self._spare.end()
        for resources in (self.in_force, *self._resources.values()):
            for listener in resources.all_listeners:
                listener.unlink_and_close()
        for resources in self._resources.values():
            if resources.stacks is not None:
                resources.stacks.close()

    def _close_listeners(self, previous: Resources) -> None:
        """Those that are not in force any more."""
        for listener in previous.status_listeners:
            if listener not in self.in_force.all_listeners:
                listener.unlink_and_close()
                self.log.info("status_listening_ended", address=listener.address)
        pairs = list(zip(previous.addresses, previous.listeners, strict=True))
        ended = [(fd, listener) for (fd, _), listener in pairs if listener not in self.in_force.listeners]
        for _, listener in ended:
            if listener in self.in_force.status_listeners:
                continue
            # Workers that still drain have their own copies, and were told to empty its queue.
            listener.refuse_new()
            listener.unlink_and_close()
            self.log.info("listening_ended", address=listener.address)
        if not ended:
            return
        # The zygote outlives them, for long if it is parked: clients would wait in a queue that nobody looks at.
        with open(os.devnull, "rb") as nothing:
            targets = [fd for fd, _ in ended]
            for number, resources in self._resources.items():
                if resources is previous:
                    message = TakeListeners(targets=targets)
                    self._links.tell_zygote(number, message, [nothing.fileno()] * len(targets))

    def _replace_listeners(self, number: int, moved: Sequence[tuple[int, Listener]]) -> bool:
        message = TakeListeners(targets=[fd for fd, _ in moved])
        return self._links.tell_zygote(number, message, [listener.fileno() for _, listener in moved])

    def _discard(self, candidate: Resources | None) -> None:
        if candidate is not None:
            for listener in candidate.all_listeners:
                if listener not in self.in_force.all_listeners:
                    listener.unlink_and_close()
        self._close_files()

    def _close_files(self) -> None:
        wanted = [fd for resources in self._resources.values() for fd in resources.log_fds]
        self.files.close_except([*wanted, *self.in_force.log_fds])


def _failure(error: PreforkError) -> Failure:
    if isinstance(error, BootError):
        return Failure(error.stage, error.error, error.traceback)
    stage = "settings" if isinstance(error, ConfigError) else "listen"
    return Failure(stage, str(error).replace("\n", "; "))
