"""What the master keeps open for a generation.

Owns: its settings, listeners, log files and stacks, from the moment it is prepared until it is forgotten. Runs in: master.
Must not know: workers, the state of the pool.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from prefork.errors import ConfigError
from prefork.identity import Identity, resolve
from prefork.master.listening import listen_specs
from prefork.master.logfiles import LogFiles
from prefork.master.stacks import Stacks
from prefork.master.tlsfiles import TlsFiles
from prefork.net.listeners import Listener, ListenSpec, bind_all, check_permission
from prefork.observe.access import access_format_problem
from prefork.observe.log import Log
from prefork.settings.cpus import usable_cpus
from prefork.settings.kinds.workers import CountRange
from prefork.settings.model import Settings

LoadSettings = Callable[[], Settings]


@dataclass(slots=True)
class Resources:
    """Everything a generation needs besides processes."""

    settings: Settings
    identity: Identity
    specs: list[ListenSpec]
    """What its listeners are to be, in their order."""
    listeners: list[Listener]
    log_fd: int
    access_fd: int | None
    addresses: list[tuple[int, str]] = field(init=False)
    """(descriptor, address) as the zygote inherits them; kept after the listeners are closed here."""
    tls: TlsFiles | None = None
    stacks: Stacks | None = None

    def __post_init__(self) -> None:
        self.addresses = [(each.fileno(), str(each.address)) for each in self.listeners]

    @property
    def warnings(self) -> Sequence[str]:
        """What is right, but should not stay as it is."""
        return () if self.tls is None else self.tls.warnings

    @property
    def log_fds(self) -> tuple[int | None, int | None]:
        """Where the processes of the generation write."""
        return (self.log_fd, self.access_fd)

    @property
    def worker_count(self) -> int:
        """`[workers] count`, with "auto" as the number of CPUs this server may use; of a range, what it begins with."""
        count = self.settings.workers.count
        if isinstance(count, CountRange):
            # Not none: only a worker shows that the application can serve.
            return max(1, count.min)
        return usable_cpus() if count == "auto" else int(count)

    @property
    def worker_bounds(self) -> tuple[int, int] | None:
        """The range of `[workers] count`; None if it is a number."""
        count = self.settings.workers.count
        return (count.min, count.max) if isinstance(count, CountRange) else None

    def log(self) -> Log:
        """The master's log as these settings want it."""
        return Log(self.log_fd, self.settings.log.level, role="master", pid=os.getpid())


def prepare(settings: Settings, files: LogFiles, held: Sequence[Listener] = ()) -> Resources:
    """Open what `settings` ask for; listeners in `held` are used as they are.

    Raises ConfigError or ListenError; then nothing of it stays bound (log files are for the caller to close).
    """
    problem = access_format_problem(settings.log.access_format)
    if problem is not None:
        raise ConfigError(f"log.access_format: {problem}")
    identity = resolve(settings.server.user, settings.server.group)
    tls = _tls_files(settings)
    log_fd = files.open(settings.log.output)
    access = settings.log.access
    access_fd = None if access == "off" else files.open(access)
    specs = listen_specs(settings)
    for spec in specs:
        check_permission(spec)
    listeners = bind_all(specs, settings.server.backlog, held)
    return Resources(settings, identity, specs, listeners, log_fd, access_fd, tls)


def _tls_files(settings: Settings) -> TlsFiles | None:
    if not any(entry.tls for entry in settings.server.listen):
        return None
    # Only now: nobody else needs the ssl module, two megabytes.
    from prefork.master.tls import read_tls_files

    return read_tls_files(settings, time.time)
