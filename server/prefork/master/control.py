"""The control socket: who may speak, how long one may take, what arrives and what goes out.

Owns: the socket file, the connections and their limits. Part of the master's loop: nothing here waits. Runs in: master. Must
not know: what a request asks for (see `desk`).

A client that is silent, slow or floods costs one of `MAX_CLIENTS` places for `PATIENCE_S` and never the loop's time.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from prefork.errors import ListenError
from prefork.ipc.control import (
    MAX_REPLY,
    MAX_REQUEST,
    AnyRequest,
    Lines,
    ProtocolError,
    Reply,
    Result,
    decode_request,
    encode,
)
from prefork.net.address import UnixAddress
from prefork.net.listeners import Listener, ListenSpec, bind_all
from prefork.settings.control import OFF, control_directories, is_private

MAX_CLIENTS = 32

PATIENCE_S = 5.0
"""For a request to arrive whole, and for a client to take something of what is sent to it."""

PAUSE_S = 1.0
"""Between two attempts to accept while the master is out of descriptors."""

_BACKLOG = 16
_CREDENTIALS = struct.Struct("3i")
"""struct ucred: pid, uid, gid (unix(7))."""


class Client:
    """One connection: one request, then messages to it until the result."""

    __slots__ = ("_clock", "_lines", "_on_change", "deadline", "finished", "output", "reading", "sock")

    def __init__(
        self, sock: socket.socket, clock: Callable[[], float], on_change: Callable[[Client], None]
    ) -> None:
        self.sock = sock
        self._clock = clock
        self._on_change = on_change
        self._lines = Lines(MAX_REQUEST)
        self.output = bytearray()
        self.reading = True
        """Its request has not arrived yet."""
        self.finished = False
        """The result is on its way; nothing follows."""
        self.deadline: float | None = clock() + PATIENCE_S

    @property
    def is_gone(self) -> bool:
        """Nobody is there any more."""
        return self.sock.fileno() < 0

    def tell(self, reply: Reply) -> None:
        """Send, now or when there is room. A client that takes nothing is left alone."""
        if self.is_gone or self.finished:
            return
        self.finished = isinstance(reply, Result)
        data = encode(reply)
        if len(data) > MAX_REPLY:
            data = encode(Result(ok=False, error=f"the answer is longer than {MAX_REPLY} bytes"))
        if len(self.output) > MAX_REPLY:
            self.sock.close()
            return
        if not self.output:
            self.deadline = self._clock() + PATIENCE_S
        self.output += data
        self._on_change(self)

    def receive(self) -> AnyRequest | None:
        """The request, if it is complete now. Raises ProtocolError; OSError or EOFError if the client is gone."""
        data = self.sock.recv(MAX_REQUEST + 1)
        if not data:
            raise EOFError
        lines = self._lines.feed(data)
        if not lines:
            return None
        self.reading, self.deadline = False, None
        if len(lines) > 1:
            raise ProtocolError("a connection is for one request")
        return decode_request(lines[0])

    def flush(self) -> None:
        """Send what there is room for. Raises OSError if the client is gone."""
        try:
            sent = self.sock.send(self.output, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return
        del self.output[:sent]
        self.deadline = self._clock() + PATIENCE_S if self.output else None


class ControlSocket:
    """All connections. Without a listener it is one that nobody can reach."""

    def __init__(self, listener: Listener | None, clock: Callable[[], float]) -> None:
        self._listener = listener
        self._clock = clock
        self._epoll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._accept_at: float | None = None
        if listener is not None:
            self._epoll.register(listener.fileno(), select.EPOLLIN)

    def fileno(self) -> int:
        """Readable when there is something to do."""
        return self._epoll.fileno()

    @property
    def listener(self) -> Listener | None:
        """Its listening socket."""
        return self._listener

    def adopt(self, fd: int) -> Client:
        """A client of the program before this one, which waits for the end of its request."""
        client = Client(socket.socket(fileno=fd), self._clock, self._changed)
        client.reading, client.deadline = False, None
        client.sock.set_inheritable(False)
        self._clients[fd] = client
        self._epoll.register(fd, 0)
        return client

    @property
    def path(self) -> str | None:
        """Where it is."""
        address = None if self._listener is None else self._listener.address
        return address.path if isinstance(address, UnixAddress) else None

    @property
    def deadline(self) -> float | None:
        """When there is something to do although nothing arrives."""
        times = [client.deadline for client in self._clients.values()]
        return min((time for time in (*times, self._accept_at) if time is not None), default=None)

    def take(self) -> Iterator[tuple[Client, AnyRequest]]:
        """Do all that can be done now, and give the requests that have arrived."""
        self._expire()
        for fd, events in self._epoll.poll(0):
            if self._listener is not None and fd == self._listener.fileno():
                self._accept()
                continue
            client = self._clients.get(fd)
            if client is None:
                continue
            if events & select.EPOLLOUT:
                self._flush(client)
            if events & select.EPOLLIN and client.reading:
                request = self._receive(client)
                if request is not None:
                    yield client, request
            elif events & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLIN) and not client.is_gone:
                # It left, or it sends more than its one request.
                self._drop(client)

    def close(self, last_words: Result) -> None:
        """The end: everybody who waits hears why, as far as there is room; the file is removed. May be called again."""
        if self._epoll.closed:
            return
        if self._listener is not None:
            self._epoll.unregister(self._listener.fileno())
            self._listener.unlink_and_close()
            self._listener = None
        for client in list(self._clients.values()):
            client.tell(last_words)
            self._drop(client)
        self._epoll.close()

    # Connections ------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # Mostly out of descriptors; the one who waits would wake us again and again.
            self._epoll.modify(self._listener.fileno(), 0)
            self._accept_at = self._clock() + PAUSE_S
            return
        sock.setblocking(False)
        client = Client(sock, self._clock, self._changed)
        self._clients[sock.fileno()] = client
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        refusal = _refusal(sock)
        if refusal is None and len(self._clients) > MAX_CLIENTS:
            refusal = f"{MAX_CLIENTS} others are connected"
        if refusal is not None:
            client.tell(Result(ok=False, error=refusal))
            self._drop(client)

    def _receive(self, client: Client) -> AnyRequest | None:
        try:
            request = client.receive()
        except ProtocolError as error:
            client.reading = False
            client.tell(Result(ok=False, error=str(error)))
            return None
        except BlockingIOError:
            return None
        except (OSError, EOFError):
            self._drop(client)
            return None
        self._changed(client)
        return request

    def _changed(self, client: Client) -> None:
        """What it is waited for: to be sent to at once, and for the rest when there is room."""
        self._flush(client)

    def _flush(self, client: Client) -> None:
        if client.output:
            try:
                client.flush()
            except OSError:
                self._drop(client)
                return
        if client.finished and not client.output:
            self._drop(client)
        elif not client.is_gone:
            wanted = select.EPOLLOUT if client.output else 0
            # A request that has arrived is the only one: from then on only its end is of interest.
            wanted |= select.EPOLLIN if client.reading else 0
            self._epoll.modify(client.sock.fileno(), wanted)

    def _expire(self) -> None:
        now = self._clock()
        for client in list(self._clients.values()):
            if client.is_gone:
                self._forget_closed()
            elif client.deadline is not None and now >= client.deadline:
                self._drop(client)
        if self._accept_at is not None and now >= self._accept_at and self._listener is not None:
            self._accept_at = None
            self._epoll.modify(self._listener.fileno(), select.EPOLLIN)

    def _drop(self, client: Client) -> None:
        fd = client.sock.fileno()
        if fd >= 0:
            self._clients.pop(fd, None)
            # Closing takes it out of the epoll set: no other process has it.
            client.sock.close()

    def _forget_closed(self) -> None:
        self._clients = {fd: client for fd, client in self._clients.items() if not client.is_gone}


def open_control(setting: str, clock: Callable[[], float]) -> tuple[ControlSocket, str]:
    """The control socket at `setting`, and why there is none although one was asked for (or "").

    Raises ListenError for a path that somebody chose. The default gives way instead: no server should fail to start for it.
    """
    if setting == OFF:
        return ControlSocket(None, clock), ""
    best, *others = control_directories()
    if str(Path(setting).parent) != best:
        return ControlSocket(_bind(setting), clock), ""
    reasons = []
    for directory in (best, *others):
        try:
            _make_private(directory)
        except ListenError as error:
            reasons.append(str(error))
            continue
        try:
            return ControlSocket(_bind(f"{directory}/{Path(setting).name}"), clock), ""
        except ListenError as error:
            # Somebody else answers there. Elsewhere nobody would look for this server, for commands find the first one.
            return ControlSocket(None, clock), str(error)
    return ControlSocket(None, clock), "; ".join(reasons)


def _bind(path: str) -> Listener:
    (listener,) = bind_all([ListenSpec(UnixAddress(path), mode=0o600)], _BACKLOG)
    return listener


def _make_private(directory: str) -> None:
    """We can put something there, and nobody else can. Raises ListenError."""
    try:
        with contextlib.suppress(FileExistsError):
            Path(directory).mkdir(mode=0o700)
    except OSError as error:
        raise ListenError(f"cannot make {directory}: {error.strerror}") from error
    if not is_private(directory):
        raise ListenError(f"{directory} is not a directory that only user id {os.geteuid()} can write to")
    if not os.access(directory, os.W_OK):  # also for root: the file system may be read-only
        raise ListenError(f"{directory} cannot be written to")


def _refusal(sock: socket.socket) -> str | None:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(credentials)
    if uid in (0, os.geteuid()):
        return None
    return f"only root and user id {os.geteuid()} may control this server, not user id {uid}"
