"""The sockets the server listens on: bound once by the master, held until they are no longer asked for.

Owns: which listeners exist, all-or-nothing binding, taking them over in a worker. Runs in: master (bind,
close), worker (adopt). Must not know: TLS, accept loops, settings.

O_NONBLOCK is set once, here: it lives in the open file description that all processes share, so a worker that
changed it would change it for every process. Close-on-exec is set too (PEP 446); what a zygote shall have is
passed by number.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterable, Sequence
from enum import Enum

import msgspec

from prefork.errors import ListenError
from prefork.net.address import TcpAddress, UnixAddress
from prefork.net.sock_diag import unix_queue
from prefork.net.tcp import bind_tcp, drop_syns, real_address
from prefork.net.tcp_info import accept_queue
from prefork.net.unix import bind_unix, change_socket_file, file_id, remove_socket_file


class ListenSpec(msgspec.Struct, frozen=True):
    """What to listen on. `mode`, `uid` and `gid` are for unix sockets with a path; None leaves the system's
    default.
    """

    address: TcpAddress | UnixAddress
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class Queue(msgspec.Struct, frozen=True):
    """Connections that wait to be accepted."""

    length: int
    limit: int
    """The kernel takes one more than that, then nobody; 0: unknown."""


class Keeper(Enum):
    """Who else has the socket, and so what its end here means."""

    NOBODY = "nobody"
    """It was bound here, and its end is the end of the address."""
    STORE = "store"
    """It was bound here, and the service manager keeps a copy for the next master: the socket file stays at a stop."""
    UNIT = "unit"
    """The service manager bound it, for a socket unit: file, owner, mode and queue are its own."""


class Listener:
    """A listening socket of this process, made for `spec`."""

    __slots__ = ("_file_id", "_sock", "address", "keeper", "name", "spec")

    def __init__(
        self, spec: ListenSpec, sock: socket.socket, keeper: Keeper = Keeper.NOBODY, name: str = ""
    ) -> None:
        """Take over `sock`, which listens on the address of `spec`. `name`: what its keeper calls it."""
        self.spec = spec
        self.keeper = keeper
        self.name = name
        self._sock = sock
        self.address: TcpAddress | UnixAddress
        """Where it really listens: host as a number, port 0 replaced. `spec.address` is the one asked for."""
        if isinstance(spec.address, UnixAddress):
            self.address = spec.address
            self._file_id = None if spec.address.is_abstract else file_id(spec.address.path)
        else:
            self.address = real_address(sock)
            self._file_id = None

    @classmethod
    def inherited(
        cls,
        spec: ListenSpec,
        fd: int,
        address: TcpAddress | UnixAddress,
        keeper: Keeper = Keeper.NOBODY,
        name: str = "",
    ) -> Listener:
        """The one that had this descriptor before the process executed a program anew; -1: it was closed already."""
        if fd >= 0:
            return cls(spec, adopt(fd), keeper, name)
        listener = cls.__new__(cls)
        listener.spec, listener.address, listener._file_id = spec, address, None
        listener.keeper, listener.name = keeper, name
        listener._sock = socket.socket(socket.AF_UNIX)
        listener._sock.close()
        return listener

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""
        return self._sock.fileno()

    def accept(self) -> tuple[socket.socket, object]:
        """The next connection, and who it is from. Raises BlockingIOError if nobody waits, OSError as accept(2)."""
        return self._sock.accept()

    def queue(self) -> Queue:
        """Who waits to be accepted. Where the kernel does not tell (`sock_diag`), of a unix socket only whether anybody does."""
        if self._sock.fileno() < 0:
            return Queue(0, 0)
        if isinstance(self.address, TcpAddress):
            return Queue(*accept_queue(self._sock))
        found = unix_queue(self._sock)
        if found is not None:
            return Queue(*found)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return Queue(len(poll.poll(0)), 0)

    def queue_length(self) -> int:
        """How many wait."""
        return self.queue().length

    @property
    def file_identity(self) -> str:
        """Tells its socket file from another at the same path; empty: it has none."""
        return "" if self._file_id is None else f"{self._file_id.device}:{self._file_id.inode}"

    def is_reachable(self) -> bool:
        """Its socket file, if it has one, is still there and still ours. (What a socket unit does with its own is its own.)"""
        if self.keeper is Keeper.UNIT or self._file_id is None:
            return True
        return self._file_id == file_id(self._path())

    def refuse_new(self) -> None:
        """Nobody new may come; who is on the way in is still accepted, by any process that has the socket."""
        if self.keeper is Keeper.UNIT:
            return
        if isinstance(self.address, TcpAddress):
            drop_syns(self._sock)
        elif self._file_id is not None:
            remove_socket_file(self._path(), self._file_id)
            self._file_id = None

    def close(self) -> None:
        """Close this process's copy; a socket file stays. May be called again."""
        self._sock.close()

    def unlink_and_close(self) -> None:
        """The end of the address: remove the socket file, unless it is somebody else's by now, and close."""
        if self._file_id is not None and self.keeper is Keeper.NOBODY:
            remove_socket_file(self._path(), self._file_id)
            # Not twice: another server's file may be given the same inode.
            self._file_id = None
        self._sock.close()

    def change(self, spec: ListenSpec, backlog: int) -> None:
        """Take on the mode and owner of `spec` and this length of its queue. Raises ListenError."""
        if self.keeper is Keeper.UNIT:
            # Its Backlog=, SocketMode=, ... say; and listen(2) on what PID 1 has made may be denied (SELinux).
            self.spec = spec
            return
        # listen(2) on a socket that listens changes the length alone.
        self._sock.listen(backlog)
        before = (self.spec.mode, self.spec.uid, self.spec.gid)
        if self._file_id is not None and before != (spec.mode, spec.uid, spec.gid):
            change_socket_file(self._path(), self._file_id, spec.mode, spec.uid, spec.gid)
        self.spec = spec

    def _path(self) -> str:
        assert isinstance(self.address, UnixAddress)
        return self.address.path


def bind_all(specs: Sequence[ListenSpec], backlog: int, held: Iterable[Listener] = ()) -> list[Listener]:
    """One listener for each of `specs`, in their order: those of `held` that fit, the rest freshly bound.

    All or nothing: on ListenError everything bound here is undone, and `held` is as it was. `held` is only
    read: the caller closes those that are not in the answer, when nobody needs them any more. A held unix
    socket whose file was removed or replaced does not fit, for no client could reach it.
    """
    _refuse_duplicates(specs)
    reusable = [listener for listener in held if listener.is_reachable()]
    bound: list[Listener] = []
    listeners: list[Listener] = []
    try:
        for spec in specs:
            listener = _take(spec, reusable)
            if listener is None:
                listener = Listener(spec, _bind(spec, backlog))
                bound.append(listener)
            listeners.append(listener)
    except BaseException:
        for listener in bound:
            listener.unlink_and_close()
        raise
    return listeners


def check_permission(spec: ListenSpec) -> None:
    """Raises ListenError if this process may not give a socket file to the owner that `spec` names."""
    if os.geteuid() == 0:
        return
    groups = (None, os.getegid(), *os.getgroups())
    if spec.uid not in (None, os.geteuid()) or spec.gid not in groups:
        raise ListenError(
            f"cannot listen on {spec.address}: only root may give the socket to user id {spec.uid}, group id {spec.gid}"
        )


def adopt(fd: int) -> socket.socket:
    """In a worker: the inherited listening socket `fd`, close-on-exec from now on.

    Its blocking mode is left alone (see above): `accept` raises BlockingIOError when nobody waits.
    """
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    return sock


def _take(spec: ListenSpec, reusable: list[Listener]) -> Listener | None:
    for listener in reusable:
        if spec.address in (listener.spec.address, listener.address):
            reusable.remove(listener)
            return listener
    return None


def _refuse_duplicates(specs: Sequence[ListenSpec]) -> None:
    seen: set[TcpAddress | UnixAddress] = set()
    for spec in specs:
        is_any_port = isinstance(spec.address, TcpAddress) and spec.address.port == 0
        if spec.address in seen and not is_any_port:
            raise ListenError(f"cannot listen on {spec.address}: it is listed twice")
        seen.add(spec.address)


def _bind(spec: ListenSpec, backlog: int) -> socket.socket:
    if isinstance(spec.address, UnixAddress):
        return bind_unix(spec.address, backlog, spec.mode, spec.uid, spec.gid)
    if (spec.mode, spec.uid, spec.gid) != (None, None, None):
        raise ListenError(f"cannot listen on {spec.address}: mode, user and group are for unix sockets only")
    return bind_tcp(spec.address, backlog)
