"""All that a master knows and holds, as one document: written before it executes itself anew, read by the program after it.

Owns: the shape of that document, and which descriptors go with it. Runs in: master, before and after an upgrade; cli
(`prefork check`, which finds out whether a new release can read it). Must not know: how the program is executed.

Descriptors keep their numbers across exec, processes their parent, times of the monotonic clock their meaning: so numbers are
all there is to say. Objects that one release knows and the other does not are left out or get their defaults.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from prefork.errors import ConfigError
from prefork.identity import Identity
from prefork.ipc.status import ReloadStatus
from prefork.master.state import Pool
from prefork.master.tlsfiles import TlsFiles
from prefork.net.address import parse_address
from prefork.net.listeners import Keeper, Listener, ListenSpec
from prefork.settings.listen import Listen
from prefork.settings.model import Settings
from prefork.variables import HANDOVER

HANDOVER_VERSION = 1


class SocketState(msgspec.Struct, frozen=True, kw_only=True):
    """A listening socket."""

    fd: int
    """-1: it is closed; only its address is of interest, for a rollback."""
    address: str
    asked: str
    """The address in the settings, such as one with port 0."""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    keeper: Keeper = Keeper.NOBODY
    name: str = ""
    """What its keeper calls it."""

    @classmethod
    def of(cls, listener: Listener) -> SocketState:
        """What there is to say about one."""
        return cls(
            fd=listener.fileno(),
            address=str(listener.address),
            asked=str(listener.spec.address),
            mode=listener.spec.mode,
            uid=listener.spec.uid,
            gid=listener.spec.gid,
            keeper=listener.keeper,
            name=listener.name,
        )

    @classmethod
    def of_spec(cls, spec: ListenSpec) -> SocketState:
        """What is to be listened on, whether it is or not."""
        text = str(spec.address)
        return cls(fd=-1, address=text, asked=text, mode=spec.mode, uid=spec.uid, gid=spec.gid)

    def spec(self) -> ListenSpec:
        """What it was made for."""
        return ListenSpec(parse_address(self.asked), self.mode, self.uid, self.gid)

    def listener(self) -> Listener:
        """The listener again."""
        return Listener.inherited(self.spec(), self.fd, parse_address(self.address), self.keeper, self.name)


class StatusState(msgspec.Struct, frozen=True):
    """A status process."""

    pid: int
    orders_fd: int
    questions_fd: int
    stacks_fd: int


class ResourcesState(msgspec.Struct, frozen=True, kw_only=True):
    """`prefork.master.resources.Resources`."""

    settings: Settings
    identity: Identity
    specs: list[SocketState]
    listeners: list[int]
    """Places in `Handover.sockets`: generations share them."""
    addresses: list[tuple[int, str]]
    log_fd: int
    access_fd: int | None
    slow_fd: int | None = None
    tls: TlsFiles | None
    stacks_fd: int | None
    status_specs: list[SocketState] = []
    status_listeners: list[int] = []
    """Like `specs` and `listeners`, of `[status] listen`."""
    entries: tuple[Listen, ...] | None = None
    """How each of the listeners is spoken to, where settings do not say it one for one."""


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What a status tells of the past."""

    started: float | None = None
    """Monotonic seconds."""
    history: list[tuple[float, ReloadStatus]] = []
    """(monotonic seconds, what ended then), oldest first."""
    highest: dict[str, int] = {}
    """The longest queue that was seen at each address."""
    counted: dict[str, int | list[int]] = {}
    """By all workers so far: for a release that cannot read the scoreboard."""


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """The document."""

    v: int = HANDOVER_VERSION
    release: str
    """Of prefork that wrote it."""
    pid: int
    pool: Pool
    sockets: list[SocketState]
    resources: dict[int, ResourcesState]
    in_force: int
    """Whose resources are in force."""
    log_files: dict[str, int]
    pid_file: tuple[str, int] | None
    baton_fd: int
    board_fd: int
    metrics_fd: int = -1
    """-1: the release that wrote this has none."""
    metrics_owners: dict[int, int] = {}
    """Who has which part of it, see `prefork.ipc.metricstore`."""
    control: SocketState | None
    waiting: list[int]
    """Connections of the control socket."""
    workers: dict[int, int]
    """Channels: worker -> descriptor, generation -> descriptor."""
    zygotes: dict[int, int]
    status: list[StatusState] = []
    remembered: Remembered = Remembered()

    def descriptors(self) -> Iterator[int]:
        """Those that the next program needs, besides the standard streams."""
        sockets = [*self.sockets, *([self.control] if self.control is not None else [])]
        yield from (each.fd for each in sockets if each.fd >= 0)
        yield from (each.stacks_fd for each in self.resources.values() if each.stacks_fd is not None)
        yield from self.log_files.values()
        yield from self.workers.values()
        yield from self.zygotes.values()
        yield from self.waiting
        yield from (self.baton_fd, self.board_fd)
        if self.metrics_fd >= 0:
            yield self.metrics_fd
        for each in self.status:
            yield from (each.orders_fd, each.questions_fd, each.stacks_fd)
        if self.pid_file is not None:
            yield self.pid_file[1]


def write(handover: Handover) -> int:
    """A memfd with the document: nobody else can read it, and it leaves no file. Raises OSError."""
    fd = os.memfd_create("prefork-handover")
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(msgspec.json.encode(handover))
    except BaseException:
        os.close(fd)
        raise
    return fd


def take() -> Handover | None:
    """The document that the program before this one left; None if there was none. Raises ConfigError."""
    text = os.environ.pop(HANDOVER, "")
    if not text.isdecimal():
        return None
    try:
        with os.fdopen(int(text), "rb") as file:
            file.seek(0)
            data = file.read()
    except OSError as error:
        raise ConfigError(f"{HANDOVER}={text}: cannot be read: {error.strerror}") from error
    try:
        handover = msgspec.json.decode(data, type=Handover)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ConfigError(
            f"this release does not understand what the running master knows: {error}"
        ) from error
    if handover.v != HANDOVER_VERSION:
        raise ConfigError(
            f"this release takes over masters of version {HANDOVER_VERSION}, not {handover.v}: restart instead"
        )
    return handover
