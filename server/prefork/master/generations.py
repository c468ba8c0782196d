"""The resources of all generations: opened for a candidate, swapped at a commit, given back.

Owns: which generation's listeners, log files and settings are in force. Runs in: master. Must not know: workers, when a
generation is started or has proved itself.
"""

from __future__ import annotations

from collections.abc import ItemsView

from prefork.errors import BootError, ConfigError, PreforkError
from prefork.master import reload
from prefork.master.events import GenerationStarted, StartRefused
from prefork.master.launch import launch
from prefork.master.links import Links
from prefork.master.logfiles import LogFiles
from prefork.master.processes import Processes
from prefork.master.resources import LoadSettings, Resources
from prefork.master.state import Failure, Limits, Pool
from prefork.observe.log import Log


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
        log: Log,
        baton_fd: int,
    ) -> None:
        self._pool = pool
        self._processes = processes
        self._links = links
        self._load_settings = load_settings
        self._resources: dict[int, Resources] = {}
        self.files = files
        self.in_force = first
        self.log = log
        self._baton_fd = baton_fd

    def items(self) -> ItemsView[int, Resources]:
        """All that are kept."""
        return self._resources.items()

    def start(self, resources: Resources, *, restart: bool = False) -> GenerationStarted:
        """Start a zygote with `resources`. Raises BootError if the process cannot be started."""
        number = self._pool.next_generation
        launched = launch(
            self._processes,
            number,
            resources.settings,
            identity=resources.identity,
            listeners=resources.addresses,
            log_fd=resources.log_fd,
            access_fd=resources.access_fd,
            baton_fd=self._baton_fd,
        )
        resources.stacks = launched.stacks
        self._resources[number] = resources
        self._links.add_zygote(number, launched.channel)
        workers = resources.settings.workers
        limits = Limits(workers.boot_timeout, workers.drain_timeout)
        return GenerationStarted(resources.worker_count, limits, launched.pid, restart)

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
            current.settings, current.identity, current.listeners, current.log_fd, current.access_fd
        )
        try:
            return self.start(again, restart=True)
        except PreforkError as error:
            return StartRefused(_failure(error), restart=True)

    def commit(self, number: int) -> None:
        """The candidate's resources are in force; what only the one before needed is closed."""
        previous, self.in_force = self.in_force, self._resources[number]
        for listener in previous.listeners:
            if listener not in self.in_force.listeners:
                # Workers that still drain have their own copies, and were told to empty its queue.
                listener.unlink_and_close()
                self.log.info("listening_ended", address=listener.address)
        self.log.info("reload_done", gen=number)
        self.log = self.in_force.log()

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

    def stacks_of(self, number: int) -> str:
        """What processes of the generation wrote about a crash or hang, since it was last asked."""
        resources = self._resources.get(number)
        return "" if resources is None or resources.stacks is None else resources.stacks.take()

    def close(self) -> None:
        """The end of the server: no socket file stays."""
        for resources in (self.in_force, *self._resources.values()):
            for listener in resources.listeners:
                listener.unlink_and_close()
        for resources in self._resources.values():
            if resources.stacks is not None:
                resources.stacks.close()

    def _discard(self, candidate: Resources | None) -> None:
        if candidate is not None:
            for listener in candidate.listeners:
                if listener not in self.in_force.listeners:
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
