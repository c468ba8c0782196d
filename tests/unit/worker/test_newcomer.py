"""A new connection, from the queue of a listener to its end: the compiled steps and those of Python, the same way."""

from __future__ import annotations

import errno
import functools
import gc
import importlib.util
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prefork.net.trust import TrustedPeers
from prefork.speedups import fastpath
from prefork.worker.acceptor import Acceptor, Door
from prefork.worker.connection import Connection, Phase
from prefork.worker.fastpath import Parts
from prefork.worker.listener import Listener
from prefork.worker.reception import Reception
from prefork.worker.timers import NEVER
from prefork.wsgi.handler import WSGIRequestHandler
from support.child import run
from support.serving import App, RecordingLog, Station, readable, station

COMPILED = pytest.param(
    True, id="compiled", marks=pytest.mark.skipif(fastpath is None, reason="not compiled")
)
WAYS = [COMPILED, pytest.param(False, id="Python")]
FAMILIES = ["tcp", "tcp6", "unix", "named unix", "abstract unix"]

CLOSING = b"GET /a HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
STAYING = b"GET /b HTTP/1.1\r\nHost: t\r\n\r\n"


def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    body = environ["PATH_INFO"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def listening(family: str, directory: Path) -> socket.socket:
    if family == "tcp":
        return socket.create_server(("127.0.0.1", 0))
    if family == "tcp6":
        return socket.create_server(("::1", 0), family=socket.AF_INET6)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(directory / "listener"))
    bound.listen(10)
    return bound


class Hall:
    """A listener, and what takes from it."""

    def __init__(
        self,
        made: Station,
        bound: socket.socket,
        compiled: bool,
        trusted: tuple[str, ...] = (),
        request_ids: bool = True,
    ) -> None:
        self.made = made
        self.listener = Listener(fileno=bound.detach())
        self.listener.setblocking(False)
        self.reception = Reception(
            made.connections, made.base, None, "off", TrustedPeers(trusted), "x-forwarded", request_ids
        )
        taker = self.reception.taker(self.listener)
        assert (taker is not None) == (made.connections.fast_read is not None)
        self.take = taker if compiled and taker is not None else self._take_in_python
        assert compiled == (self.take is taker)

    def _take_in_python(self) -> bool:
        try:
            sock, peer = self.listener.accept()
        except BlockingIOError:
            return False
        sock.setblocking(False)
        self.reception.receive(sock, peer)
        return True

    def connect(self, name: str | None = None) -> socket.socket:
        client = socket.socket(self.listener.family)
        client.settimeout(30)
        if name is not None:
            client.bind(name)
        client.connect(self.listener.getsockname())
        self.made.clients.append(client)
        return client

    def take_next(self) -> Connection | None:
        """The connection; None: it is gone already."""
        before = set(self.made.members)
        select.select([self.listener], [], [], 30)
        assert self.take()
        (connection,) = set(self.made.members) - before or {None}
        return connection


@contextmanager
def hall(app: App, compiled: bool, bound: socket.socket, **options: Any) -> Iterator[Hall]:
    trusted = options.pop("trusted", ())
    with station(app, fast=compiled, **options) as made:
        entry = Hall(made, bound, compiled, trusted)
        try:
            yield entry
        finally:
            entry.listener.close()


@pytest.fixture
def bound(tmp_path: Path) -> socket.socket:
    return listening("tcp", tmp_path)


def read_all(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(65536):
        received += data
    return received


# Who has come -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_who_has_come(family: str, compiled: bool, tmp_path: Path) -> None:
    environs: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environs.append(environ)
        return plain(environ, start_response)

    with hall(app, compiled, listening(family, tmp_path)) as entry:
        names = {"named unix": str(tmp_path / "a name"), "abstract unix": f"\0prefork test {os.getpid()}"}
        client = entry.connect(names.get(family))
        client.sendall(STAYING)
        connection = entry.take_next()
        assert connection is not None
        expected = client.getsockname()
        assert connection._exchange._handler.client_address == expected
        assert type(connection._exchange._handler.client_address) is type(expected)
        (environ,) = environs
        if family.startswith("tcp"):
            host, port = expected[:2]
            assert environ["prefork.peer"] == (f"[{host}]:{port}" if family == "tcp6" else f"{host}:{port}")
            assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (host, str(port))
        else:
            assert (environ["prefork.peer"], environ["REMOTE_ADDR"]) == ("unix", "")
            assert "REMOTE_PORT" not in environ
        assert list(environ)[: len(entry.made.base) + 2] == [*entry.made.base, "prefork.peer", "REMOTE_ADDR"]
        assert environ["prefork.connection"] == (1, 1)
        assert not os.get_inheritable(connection._fd)
        assert not os.get_blocking(connection._fd)


@pytest.mark.parametrize("compiled", WAYS)
@pytest.mark.parametrize("trusted", [("127.0.0.1",), ("192.0.2.1",)], ids=["trusted", "a stranger"])
def test_whose_word_is_taken(trusted: tuple[str, ...], compiled: bool, bound: socket.socket) -> None:
    seen: list[tuple[str, str]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append((environ["REMOTE_ADDR"], environ["prefork.request_id"]))
        return plain(environ, start_response)

    with hall(app, compiled, bound, trusted=trusted) as entry:
        fields = b"X-Forwarded-For: 198.51.100.7\r\nX-Request-ID: mine\r\n"
        entry.connect().sendall(STAYING[:-2] + fields + b"\r\n")
        entry.take_next()
    believed = trusted == ("127.0.0.1",)
    ((address, name),) = seen
    assert address == ("198.51.100.7" if believed else "127.0.0.1")
    assert (name == "mine") == believed


# Its life -----------------------------------------------------------------------------------------------------------------


def state_of(entry: Hall, connection: Connection) -> dict[str, Any]:
    loop = entry.made.loop
    buckets = loop._wheel._buckets
    return {
        "phase": connection.phase,
        "watched": connection._events,
        "told": connection._fd in loop._callbacks,
        "in its bucket": bool(connection.bucket) and connection in buckets[connection.bucket],
        # How many share a bucket is the clock's doing: a new second may begin between two of them.
        "looked at in time": connection.bucket <= connection.deadline + 1,
        "waiting": sum(len(members) for members in buckets.values()),
        "due at all": loop._wheel.next_at == min(buckets, default=NEVER),
        "served": connection._served,
        "open": len(entry.made.connections),
        "opened": entry.made.connections.opened,
        "requests": entry.made.connections.requests,
        "backlog": entry.made.connections.backlog,
    }


def lives(compiled: bool, first: bytes, second: bytes, bound: socket.socket) -> list[Any]:
    """All that there is to see of connections that are silent at first, or not."""
    counts: list[tuple[int, int]] = []
    with hall(plain, compiled, bound) as entry:
        entry.made.connections.on_count = lambda count, opened: counts.append((count, opened))
        states: list[Any] = []
        pairs = []
        for _ in range(3):
            client = entry.connect()
            if first:
                client.sendall(first)
            connection = entry.take_next()
            if connection is not None:
                states.append(state_of(entry, connection))
                pairs.append((client, connection))
        for client, connection in pairs:
            client.sendall(second)
            states.append(entry.made.until(lambda c=connection: c._served, "the request"))  # type: ignore[misc]
            entry.made.settle()
            states.append(state_of(entry, connection))
            states.append(client.recv(10000).partition(b"\r\n\r\n")[2])
        states.append(entry.made.access.lines)
        # Whoever is closed while a copy of its socket is held elsewhere is not heard of again.
        return [*states, counts, len(entry.made.loop._epoll.poll(0))]


@pytest.mark.skipif(fastpath is None, reason="not compiled")
@pytest.mark.parametrize("second", [CLOSING, STAYING], ids=["closes", "stays"])
@pytest.mark.parametrize(
    "first", [b"", b"GET /", CLOSING, STAYING], ids=["silent", "half", "closing", "staying"]
)
def test_a_connection_lives_as_in_python(
    first: bytes, second: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether a request has waited (`Connections.backlog` says so) is the machine's doing: no wait is long enough to count here.
    monkeypatch.setattr("prefork.worker.arrival.TICK_S", 3600.0)
    monkeypatch.setattr("prefork.worker.fastpath.Parts", functools.partial(Parts, tick_s=3600.0))
    second = second.removeprefix(first) if first == b"GET /" else second
    compiled, python = (lives(each, first, second, listening("tcp", tmp_path)) for each in (True, False))
    assert compiled == python


@pytest.mark.parametrize("compiled", WAYS)
def test_who_is_gone_is_not_watched_even_if_a_child_has_its_socket(
    compiled: bool, bound: socket.socket
) -> None:
    with hall(plain, compiled, bound) as entry:
        client = entry.connect()
        connection = entry.take_next()
        assert connection is not None
        copy = os.dup(connection._fd)
        try:
            client.sendall(CLOSING)
            entry.made.until(lambda: connection.phase is Phase.CLOSED, "the end")
            client.close()
            assert entry.made.loop._epoll.poll(0) == []
        finally:
            os.close(copy)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("compiled", WAYS)
def test_whoever_waits_for_room_is_told(compiled: bool, threads: int, bound: socket.socket) -> None:
    told: list[int] = []
    with hall(plain, compiled, bound, threads=threads) as entry:
        entry.made.connections.on_room = lambda: told.append(len(entry.made.connections))
        client = entry.connect()
        client.sendall(CLOSING)
        entry.take_next()
        entry.made.until(lambda: told, "room")
        assert read_all(client).endswith(b"/a")
    assert told[0] == 0


def test_nobody_is_told_of_room_while_the_worker_listens(bound: socket.socket) -> None:
    with hall(plain, False, bound) as entry:
        door = Door(entry.listener, entry.reception.receive)
        connections, loop = entry.made.connections, entry.made.loop
        acceptor = Acceptor(loop, [door], connections, entry.made.executor, lambda: None, RecordingLog())
        assert connections.on_room is not None
        acceptor.resume()
        assert connections.on_room is None
        acceptor.pause()
        assert connections.on_room is not None


@pytest.mark.parametrize("compiled", WAYS)
def test_a_body_and_a_response_out_of_the_ordinary(compiled: bool, bound: socket.socket) -> None:
    """What the compiled steps do not do is done with the same connection."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield from (environ["wsgi.input"].read(100_000) for _ in range(4))

    body = os.urandom(250_000)
    with hall(app, compiled, bound) as entry:
        client = entry.connect()
        client.sendall(b"POST / HTTP/1.0\r\nContent-Length: 250000\r\n\r\n" + body[:1000])
        connection = entry.take_next()
        client.sendall(body[1000:])
        client.setblocking(False)
        received = b""

        def ended() -> bool:
            nonlocal received
            try:
                data = client.recv(65536)
            except BlockingIOError:
                return False
            received += data
            return not data

        entry.made.until(ended, "the response")
        assert received.endswith(body)
        assert connection is not None
        entry.made.until(lambda: connection.phase is Phase.CLOSED, "the end")
        assert connection._sock.fileno() == -1


@pytest.mark.parametrize("compiled", WAYS)
def test_nobody_waits_and_nobody_ever_will(compiled: bool, bound: socket.socket) -> None:
    with hall(plain, compiled, bound) as entry:
        assert entry.take() is False
        entry.listener.shutdown(socket.SHUT_RD)
        with pytest.raises(OSError) as caught:
            entry.take()
        assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("compiled", WAYS)
def test_a_handler_whose_constructor_fails(compiled: bool, bound: socket.socket) -> None:
    class Handler(WSGIRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            if entry.made.connections.opened == 1:
                raise ValueError("not today")

    with hall(plain, compiled, bound, handler_class=Handler) as entry:
        refused = entry.connect()
        assert entry.take_next() is None
        assert refused.recv(1) == b""
        assert "handler_failed" in entry.made.log.events
        client = entry.connect()
        client.sendall(CLOSING)
        entry.take_next()
        assert read_all(client).endswith(b"/a")


def test_what_comes_before_http_is_left_to_python(bound: socket.socket) -> None:
    with hall(plain, False, bound) as entry, station(plain) as made:
        reception = Reception(made.connections, made.base, None, "optional", TrustedPeers(()), "x-forwarded")
        assert reception.taker(entry.listener) is None


# The last response --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(fastpath is None, reason="not compiled")
@pytest.mark.parametrize(
    ("family", "request_", "options", "at_once"),
    [
        ("tcp", CLOSING, {}, False),
        ("tcp6", CLOSING, {}, False),
        ("tcp", STAYING, {}, True),
        ("unix", CLOSING, {}, True),
        ("tcp", CLOSING, {"threads": 2}, True),
    ],
    ids=["closes", "closes, IPv6", "stays", "unix", "a pool"],
)
def test_the_last_response_goes_out_with_the_end(
    family: str, request_: bytes, options: dict[str, Any], at_once: bool, tmp_path: Path
) -> None:
    """It is written while nobody has it yet: then the kernel sends one packet for both. Else it is out at once."""
    there: list[bool] = []
    with hall(plain, True, listening(family, tmp_path), **options) as entry:
        client = entry.connect()
        client.sendall(request_)
        real = entry.made.context.access
        assert real is not None
        assert real is entry.made.access
        entry.made.access.lines = Noticing(lambda: there.append(readable(client)))
        entry.take_next()
        entry.made.until(lambda: there, "a line of the log")
        entry.made.settle()
        answer = client.recv(10000) if request_ == STAYING else read_all(client)
    assert there == [at_once]
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n/" in answer


class Noticing(list[Any]):
    """Calls when something is appended."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def append(self, _entry: Any) -> None:
        self._call()


@pytest.mark.skipif(fastpath is None, reason="not compiled")
def test_the_last_response_is_not_lost_when_the_client_says_more_than_it_announced(
    bound: socket.socket,
) -> None:
    """close(2) with something unread sends a reset instead of what waits (tcp_close in the kernel's net/ipv4/tcp.c)."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        client.sendall(b"\r\n")
        return plain(environ, start_response)

    with hall(app, True, bound) as entry:
        client = entry.connect()
        client.sendall(CLOSING)
        assert entry.take_next() is None
        assert client.recv(10000).endswith(b"\r\n\r\n/a")


# The socket ---------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(fastpath is None, reason="not compiled")
def test_what_stands_for_a_socket(bound: socket.socket) -> None:
    with hall(plain, True, bound) as entry:
        client = entry.connect()
        connection = entry.take_next()
        assert connection is not None
        sock: Any = connection._sock
        assert not isinstance(sock, socket.socket)
        fd = sock.fileno()
        assert sock.family == socket.AF_INET
        real = sock.real
        assert type(real) is socket.socket
        assert real is sock.real
        assert (real.fileno(), real.family, real.type, real.gettimeout()) == (
            fd,
            socket.AF_INET,
            socket.SOCK_STREAM,
            0,
        )
        client.sendall(b"G")
        select.select([real], [], [], 30)
        assert sock.recv(10, socket.MSG_PEEK) == b"G"
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 56)
        assert sock.fileno() == fd
        with pytest.raises(AttributeError):
            sock.nothing  # noqa: B018
        connection.close()
        assert (sock.fileno(), real.fileno()) == (-1, -1)
        with pytest.raises(OSError, match="Bad file descriptor"):
            sock.recv(10)
        sock.close()


@pytest.mark.skipif(fastpath is None, reason="not compiled")
def test_what_stands_for_a_socket_without_one(bound: socket.socket) -> None:
    with hall(plain, True, bound) as entry:
        first, second, third = (entry.connect() for _ in range(3))
        sock: Any
        connection = entry.take_next()
        assert connection is not None
        sock = connection._sock
        sock.shutdown(socket.SHUT_WR)
        assert first.recv(1) == b""
        with pytest.raises(TypeError):
            sock.shutdown("x")
        connection.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            sock.shutdown(socket.SHUT_WR)
        with pytest.raises(OSError, match="Bad file descriptor"):
            sock.recv(10)
        connection = entry.take_next()
        assert connection is not None
        connection.close()
        assert second.recv(1) == b""
        # Whoever drops it closes it.
        connection = entry.take_next()
        assert connection is not None
        sock, connection._sock = connection._sock, socket.socket()
        connection._exchange._sock = connection._sender._sock = connection._sock
        entry.made.loop.remove(connection._fd)
        connection._events = 0
        del sock
        assert third.recv(1) == b""


@pytest.mark.parametrize("compiled", WAYS)
def test_a_thousand_connections_leave_nothing(compiled: bool, bound: socket.socket) -> None:
    with hall(plain, compiled, bound) as entry:

        def serve(count: int) -> int:
            for _ in range(count):
                for late in (False, True):
                    with socket.create_connection(entry.listener.getsockname()) as client:
                        if not late:
                            client.sendall(CLOSING)
                        connection = entry.take_next()
                        if late:
                            client.sendall(CLOSING)
                        entry.made.until(lambda c=connection: c is None or c.phase is Phase.CLOSED, "the end")  # type: ignore[misc]
            entry.made.access.lines.clear()
            entry.made.access.entries.clear()
            gc.collect()
            return len(gc.get_objects())

        serve(10)
        before = serve(10)
        after = serve(500)
        assert abs(after - before) < 20
        assert not entry.made.loop._wheel._buckets or len(entry.made.members) == 0
        assert len(entry.made.loop._callbacks) == 1


WITHOUT_MEMORY = """
import os
import socket
import sys
from pathlib import Path

import _testcapi

sys.path.insert(0, sys.argv[1])
from support.serving import station
from unit.worker.test_newcomer import CLOSING, STAYING, Hall, listening, plain

outcomes = set()
with station(plain) as made:
    # Without names for requests: that is Python code, and an interpreter without memory has faults of its own (CPython 3.13.0).
    entry = Hall(made, listening("tcp", Path()), True, request_ids=False)
    before = len(os.listdir("/proc/self/fd"))
    for first in (b"", CLOSING, STAYING):
        for number in range(1, 160):
            client = entry.connect()
            if first:
                client.sendall(first)
            _testcapi.set_nomemory(number, number + 1)
            try:
                entry.take()
            except MemoryError:  # the end of a worker
                pass
            finally:
                _testcapi.remove_mem_hooks()
            made.turn(2)
            if not first:
                client.sendall(CLOSING)
                made.turn(2)
            client.setblocking(False)
            try:
                outcomes.add(client.recv(9999)[9:12].decode())
            except OSError as error:
                outcomes.add(type(error).__name__)
            client.close()
            for connection in list(made.members):
                connection.close()
            made.clients.clear()
    assert len(os.listdir("/proc/self/fd")) == before, os.listdir("/proc/self/fd")
    client = entry.connect()
    client.sendall(CLOSING)
    entry.take_next()
    assert client.recv(9999).endswith(b"/a")
    entry.listener.close()
print(*sorted(outcomes))
"""


@pytest.mark.skipif(
    fastpath is None or importlib.util.find_spec("_testcapi") is None, reason="not compiled, or no _testcapi"
)
def test_without_memory_nothing_is_lost_but_the_connection() -> None:
    """Each allocation fails once, whoever makes it: no crash, no descriptor that stays, and the next is served."""
    told = run(WITHOUT_MEMORY, Path(__file__).parents[2]).split("\n")[-2].split()
    assert "200" in told
    assert "500" in told
