"""The inside of a worker without a process: a real event loop and real sockets around an application of the test."""

from __future__ import annotations

import io
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from prefork.http.limits import Limits
from prefork.ipc.seat import here
from prefork.observe.access_entry import AccessEntry
from prefork.worker.connection import Connection
from prefork.worker.connections import Connections, TimeLimits
from prefork.worker.executors import InlineExecutor, ThreadExecutor
from prefork.worker.fastpath import use_fast_path
from prefork.worker.loop import EventLoop
from prefork.worker.stamp import HeaderStamp
from prefork.wsgi.context import ServerContext
from prefork.wsgi.environ import connection_environ, server_environ
from prefork.wsgi.handler import WSGIRequestHandler
from support.deadline import Deadline

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class RecordingLog:
    """An EventLog that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def error(
        self, event: str, /, *, traceback: str = "", exception: BaseException | None = None, **fields: object
    ) -> None:
        self.lines.append(("error", event, fields))
        if traceback:
            self.traceback(traceback)

    def warning(self, event: str, /, *, traceback: str = "", **fields: object) -> None:
        self.lines.append(("warning", event, fields))
        if traceback:
            self.traceback(traceback)

    def info(self, event: str, /, **fields: object) -> None:
        self.lines.append(("info", event, fields))

    def debug(self, event: str, /, **fields: object) -> None:
        self.lines.append(("debug", event, fields))

    def traceback(self, text: str, /, **fields: object) -> None:
        self.lines.append(("error", "traceback", {"text": text, **fields}))

    @property
    def events(self) -> list[str]:
        """The names of what was logged, without level debug."""
        return [event for level, event, _ in self.lines if level != "debug"]

    def fields(self, event: str) -> dict[str, object]:
        """The fields of the only line `event`."""
        (found,) = [fields for _, name, fields in self.lines if name == event]
        return found


class FakeClock:
    """Monotonic seconds that pass when the test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class AccessLines:
    """An AccessLog that remembers (path, status, body bytes)."""

    lines: list[tuple[str, int, int]] = field(default_factory=list)
    entries: list[AccessEntry] = field(default_factory=list)
    """The same, as the formats have them."""

    def __call__(
        self, environ: dict[str, Any], status: int, size: int, duration_ns: int, queued_ns: int, bytes_in: int
    ) -> None:
        assert duration_ns >= 0
        self.entries.append(AccessEntry(environ.copy(), status, size, duration_ns, 0, queued_ns, bytes_in))
        self.lines.append((environ.get("PATH_INFO") or environ.get("RAW_URI", ""), status, size))


def make_context(app: App, log: RecordingLog | None = None, **options: Any) -> ServerContext:
    """A ServerContext around `app`."""
    values: dict[str, Any] = {
        "app": app,
        "stamp": HeaderStamp("prefork", 784111777.0),
        "log": log or RecordingLog(),
        "access": None,
        "errors": io.StringIO(),
        "server_software": "prefork/test",
        "multithread": False,
        "extra": (("prefork.worker", 1), ("prefork.generation", 2)),
    }
    return ServerContext(**(values | options))


TIMES = TimeLimits(header_s=10.0, body_s=20.0, write_s=30.0, keepalive_s=5.0)


class Station:
    """A loop, its connections and an executor. The test's thread is the loop thread."""

    def __init__(
        self,
        app: App,
        *,
        threads: int = 1,
        clock: Callable[[], float] = time.monotonic,
        times: TimeLimits = TIMES,
        limits: Limits | None = None,
        maximum: int = 1000,
        handler_class: type[WSGIRequestHandler] = WSGIRequestHandler,
        fast: bool = True,
        buffer_bodies: bool = True,
    ) -> None:
        """`fast`: ordinary requests go the compiled way where that can be, as in a worker."""
        self.log = RecordingLog()
        self.access = AccessLines()
        self.context = make_context(app, self.log, access=self.access, multithread=threads > 1)
        self.loop = EventLoop(clock, recheck_s=min(times.keepalive_s, times.write_s))
        self.connections = Connections(
            self.loop, clock, self.context, handler_class, limits or Limits(), times, maximum
        )
        self.executor: InlineExecutor | ThreadExecutor
        self.frees = 0
        if threads > 1:
            self.executor = ThreadExecutor(threads, self.loop.post, self._on_free)
        else:
            self.executor = InlineExecutor()
        self.connections.executor = self.executor
        self.connections.buffer_bodies = buffer_bodies
        if fast:
            use_fast_path(self.connections, here.seat)
        self.base = server_environ(self.context, "127.0.0.1", "8000")
        self.clients: list[socket.socket] = []

    def _on_free(self) -> None:
        self.frees += 1

    # Clients ----------------------------------------------------------------------------------------------------

    def connect(self, first: bytes = b"", *, sndbuf: int | None = None, tcp: bool = False) -> Client:
        """A connected client; `first` is there when the worker accepts. `sndbuf`: of the worker's side, in bytes."""
        ours, theirs = tcp_pair() if tcp else socket.socketpair()
        if sndbuf is not None:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
        client = Client(self, ours)
        self.clients.append(ours)
        if first:
            ours.sendall(first)
        theirs.setblocking(False)
        peer = ("127.0.0.1", 50000 + len(self.clients))
        before = set(self.members)
        self.connections.open(theirs, peer, connection_environ(self.base, peer))
        (client.connection,) = set(self.members) - before or {None}
        return client

    @property
    def members(self) -> set[Connection]:
        """The open connections."""
        return self.connections._members

    # Turning ----------------------------------------------------------------------------------------------------

    def turn(self, times: int = 1) -> None:
        """Turns of the loop that do not wait."""
        for _ in range(times):
            self.loop.post(lambda: None)
            self.loop.run(self.loop.stop)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Turns until `condition`."""
        deadline = Deadline()
        while not condition():
            assert not deadline.passed, f"no sign of {what}; connections: {[c.phase for c in self.members]}"
            self.turn()
            time.sleep(0.0005)

    def settle(self) -> None:
        """Turns until no request runs any more."""
        self.until(lambda: self.executor.idle and not self.connections.answering, "rest")
        self.turn()

    def close(self) -> None:
        """Gives everything back; the pool threads end."""
        self.executor.close()
        if isinstance(self.executor, ThreadExecutor):
            for member in self.executor._members:
                member.join(30)
                assert not member.is_alive()
        for client in self.clients:
            client.close()
        for connection in list(self.members):
            connection.close()
        self.loop.close()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """As socket.socketpair(), over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


class Client:
    """The other end of a connection."""

    def __init__(self, station: Station, sock: socket.socket) -> None:
        self._station = station
        self.sock = sock
        self.connection: Connection | None = None
        self.received = b""

    def send(self, data: bytes) -> Client:
        self.sock.sendall(data)
        return self

    def ask(self, data: bytes = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n", size: int = 1) -> bytes:
        """Sends and turns the loop until at least `size` more bytes have come and the worker is at rest."""
        before = len(self.received)
        if data:
            self.send(data)
        self._station.until(
            lambda: len(self.read_some()) - before >= size and not self._station.connections.answering,
            f"{size} bytes of an answer",
        )
        self._station.turn()
        self.read_some()
        return self.received[before:]

    def read_some(self) -> bytes:
        """Takes what is there; gives everything received so far."""
        while True:
            try:
                data = self.sock.recv(65536, socket.MSG_DONTWAIT)
            except (BlockingIOError, ConnectionResetError):
                return self.received
            if not data:
                return self.received
            self.received += data

    def ended(self) -> bool:
        """The worker has ended the connection (its direction at least). Takes what is there."""
        self.read_some()
        try:
            return not self.sock.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    def read_to_end(self) -> bytes:
        """Turns the loop until the worker ends its direction; everything received."""
        self._station.until(self.ended, "the end of the connection")
        return self.received

    def close(self) -> None:
        self.sock.close()


@contextmanager
def station(app: App, **options: Any) -> Iterator[Station]:
    """A Station that is closed at the end, and whose threads are gone then."""
    made = Station(app, **options)
    try:
        yield made
    finally:
        made.close()


def readable(sock: socket.socket) -> bool:
    """Something (or the end) is there to be read."""
    return bool(select.select([sock], [], [], 0)[0])


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The simplest application."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
