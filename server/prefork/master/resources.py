"""What the master keeps open for a generation.

Owns: its settings, listeners, log files and stacks, from the moment it is prepared until it is forgotten. Runs in: master.
Must not know: workers, the state of the pool.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import msgspec

from prefork.errors import ConfigError
from prefork.identity import Identity, resolve
from prefork.master.listening import status_specs_of, wanted
from prefork.master.logfiles import LogFiles
from prefork.master.stacks import Stacks
from prefork.master.tlsfiles import TlsFiles
from prefork.net.listeners import Listener, ListenSpec, bind_all, check_permission
from prefork.observe.access_format import access_format_problem
from prefork.observe.log import Log
from prefork.observe.sinks import open_sink, sink_of
from prefork.settings.cpus import usable_cpus
from prefork.settings.kinds.memory import Share
from prefork.settings.kinds.workers import CountRange
from prefork.settings.listen import Listen
from prefork.settings.log import LOGGER
from prefork.settings.memory import limit_bytes
from prefork.settings.model import Settings
from prefork.settings.thismachine import most_workers

LoadSettings = Callable[[], Settings]


class Resources(msgspec.Struct):
    """Everything a generation needs besides processes."""

    settings: Settings
    identity: Identity
    specs: list[ListenSpec]
    """What its listeners are to be, in their order."""
    listeners: list[Listener]
    log_fd: int
    access_fd: int | None
    tls: TlsFiles | None = None
    stacks: Stacks | None = None
    status_specs: list[ListenSpec] = msgspec.field(default_factory=list)
    status_listeners: list[Listener] = msgspec.field(default_factory=list)
    """Of `[status] listen` and `agent`, in their order."""
    slow_fd: int | None = None
    entries: tuple[Listen, ...] | None = None
    """How each of `listeners` is spoken to; None: as `[server] listen` has it, one for one."""
    addresses: list[tuple[int, str]] = msgspec.field(default_factory=list)
    """(descriptor, address) as the zygote inherits them; kept after the listeners are closed here."""

    def __post_init__(self) -> None:
        self.addresses = [(each.fileno(), str(each.address)) for each in self.listeners]

    @property
    def all_specs(self) -> list[ListenSpec]:
        """What those of `all_listeners` are to be."""
        return [*self.specs, *self.status_specs]

    @property
    def all_listeners(self) -> list[Listener]:
        """Of the site and of the status process."""
        return [*self.listeners, *self.status_listeners]

    @property
    def for_children(self) -> Settings:
        """The settings as zygotes and workers need them: an entry for each listener, wherever systemd has put it."""
        if self.entries is None or self.entries == self.settings.server.listen:
            return self.settings
        server = msgspec.structs.replace(self.settings.server, listen=self.entries)
        return msgspec.structs.replace(self.settings, server=server)

    @property
    def warnings(self) -> Sequence[str]:
        """What is right, but should not stay as it is."""
        return () if self.tls is None else self.tls.warnings

    @property
    def log_fds(self) -> tuple[int | None, int | None, int | None]:
        """Where the processes of the generation write."""
        return (self.log_fd, self.access_fd, self.slow_fd)

    @property
    def worker_count(self) -> int:
        """`[workers] count`, with "auto" as the number of CPUs this server may use; of a range, what it begins with."""
        count = self.settings.workers.count
        if isinstance(count, CountRange):
            # Not none: only a worker shows that the application can serve.
            return max(1, count.min)
        return usable_cpus() if count == "auto" else int(count)

    def memory_limit(self, limit: int | Share) -> int:
        """`[workers] max_memory` and `max_memory_hard`, in bytes for one worker."""
        return limit_bytes(limit, most_workers(self.settings.workers)) if isinstance(limit, Share) else limit

    @property
    def worker_bounds(self) -> tuple[int, int] | None:
        """The range of `[workers] count`; None if it is a number."""
        count = self.settings.workers.count
        return (count.min, count.max) if isinstance(count, CountRange) else None

    def log(self) -> Log:
        """The master's log as these settings want it, once they are in force: it configures `logging` if they say so."""
        log = self.settings.log
        made = Log(sink_of(self.log_fd, log.format, log.config), log.level, role="master", pid=os.getpid())
        if log.config:
            _configure(log.config, made)
        return made

    def slow_log(self) -> Log | None:
        """Where requests that take too long are told with their stacks; None: in the log."""
        if self.slow_fd is None:
            return None
        log = self.settings.log
        return Log(open_sink(self.slow_fd, log.format), log.level, role="master", pid=os.getpid())


def prepare(settings: Settings, files: LogFiles, held: Sequence[Listener] = ()) -> Resources:
    """Open what `settings` ask for; listeners in `held` are used as they are.

    Raises ConfigError or ListenError; then nothing of it stays bound (log files are for the caller to close).
    """
    check_log(settings)
    identity = resolve(settings.server.user, settings.server.group)
    tls = _tls_files(settings)
    log_fd = files.open(settings.log.output)
    access_fd, slow_fd = (
        None if place in ("off", LOGGER) else files.open(place)
        for place in (settings.log.access, settings.log.slow)
    )
    found = wanted(settings, held)
    specs, status_specs = [each.spec for each in found], status_specs_of(settings, held)
    for spec in (*specs, *status_specs):
        check_permission(spec)
    # Together: all or nothing.
    bound = bind_all([*specs, *status_specs], settings.server.backlog, held)
    listeners, status_listeners = bound[: len(specs)], bound[len(specs) :]
    resources = Resources(settings, identity, specs, listeners, log_fd, access_fd, tls)
    resources.status_specs, resources.status_listeners = status_specs, status_listeners
    resources.slow_fd = slow_fd
    resources.entries = tuple(each.entry for each in found)
    return resources


def check_log(settings: Settings) -> None:
    """What can be said about `[log]` without opening anything. Raises ConfigError."""
    problem = access_format_problem(settings.log.access_format)
    if problem is not None:
        raise ConfigError(f"log.access_format: {problem}")
    if settings.log.config:
        from prefork.observe.handlers import for_master

        for_master(settings.log.config)


def _configure(config: str | dict[str, object], log: Log) -> None:
    from prefork.observe.handlers import apply_for_master

    try:
        left_out = apply_for_master(config)
    except ConfigError as error:
        # The zygote has taken it, and the site must run: the log goes on as if there were none.
        log.error("log_config_failed", error=error)
        return
    if left_out:
        hint = "the master imports nothing and waits for nobody; zygotes and workers have them"
        log.info("log_handlers_left_out", handlers=", ".join(left_out), hint=hint)


def _tls_files(settings: Settings) -> TlsFiles | None:
    if not any(entry.tls for entry in settings.server.listen):
        return None
    # Only now: nobody else needs the ssl module, two megabytes.
    from prefork.master.tls import read_tls_files

    return read_tls_files(settings, time.time)
