"""Constant load from many clients, in one thread: what each request took, and every one that failed.

Clients keep a pace instead of asking as fast as they can: the machine is not full, so what a request takes is the server's
doing. No failure is forgiven: a connection that ends while a client is about to use it is one.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from support.deadline import DEADLINE_S, SLOWNESS
from support.http import encode

_PATIENCE_S = DEADLINE_S * SLOWNESS


@dataclass
class Phase:
    """What happened between two marks."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    bodies: set[bytes] = field(default_factory=set)

    def percentile_ms(self, percent: float) -> float:
        """So many percent of the requests took no longer."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000

    def __str__(self) -> str:
        return (
            f"{len(self.seconds)} requests, {len(self.failures)} failed, "
            f"p50 {self.percentile_ms(50):.1f} ms, p99 {self.percentile_ms(99):.1f} ms, "
            f"worst {max(self.seconds) * 1000:.1f} ms"
        )


@dataclass
class _Client:
    number: int
    keeps: bool
    """Its connection, for as long as the server lets it."""
    sock: socket.socket | None = None
    started: float = 0.0
    busy: bool = False
    connected: bool = False
    received: bytes = b""


class Load:
    """`keep_alive` clients that keep their connections and `fresh` ones that make a new one for each request.

    A context manager: the clients work inside of it. `phase(name)` begins another set of results.
    """

    def __init__(
        self,
        address: str,
        path: str = "/",
        *,
        keep_alive: int = 64,
        fresh: int = 16,
        pace_s: float = 0.1,
        method: str = "GET",
        body: bytes | None = None,
        enter: Callable[[], None] = lambda: None,
    ) -> None:
        """`enter` is called by the clients' thread before it does anything: for a network of its own."""
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._pace_s = pace_s
        self._enter = enter
        self._requests = {
            True: encode(method, path, body=body),
            False: encode(method, path, [("Connection", "close")], body),
        }
        self._clients = [_Client(number, number < keep_alive) for number in range(keep_alive + fresh)]
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self.phases: dict[str, Phase] = {}
        self._phase = Phase()
        self._counter = itertools.count()
        self._changed = threading.Condition()
        self._error: BaseException | None = None

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def begin(self, name: str) -> Phase:
        """Results belong to the phase of this name from now on."""
        with self._changed:
            self._phase = self.phases.setdefault(name, Phase())
            return self._phase

    def wait_for(self, count: int) -> None:
        """Until the present phase has so many more results."""
        with self._changed:
            phase = self._phase
            goal = len(phase.seconds) + len(phase.failures) + count
            enough = self._changed.wait_for(
                lambda: len(phase.seconds) + len(phase.failures) >= goal or self._error is not None,
                _PATIENCE_S,
            )
        assert enough, "the clients got stuck"

    # -- the clients' thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._enter()
            self._work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            self._error = error
            with self._changed:
                self._changed.notify_all()
        finally:
            for client in self._clients:
                self._close(client)
            self._selector.close()

    def _work(self) -> None:
        start = time.monotonic()
        for client in self._clients:
            # Spread evenly: they never ask all at once.
            when = start + self._pace_s * client.number / len(self._clients)
            heapq.heappush(self._due, (when, client.number))
        while not self._stopping.is_set():
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                _, number = heapq.heappop(self._due)
                self._begin_request(self._clients[number])
            timeout = max(0.0, self._due[0][0] - time.monotonic()) if self._due else 0.05
            for key, events in self._selector.select(min(timeout, 0.05)):
                self._ready(key.data, events)
            for client in self._stuck():
                self._failed(client, "no answer in time")

    def _stuck(self) -> Iterator[_Client]:
        limit = time.monotonic() - _PATIENCE_S
        return (client for client in self._clients if client.busy and client.started < limit)

    def _begin_request(self, client: _Client) -> None:
        client.busy, client.started, client.received = True, time.monotonic(), b""
        if client.sock is not None:
            self._send(client)
            return
        client.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        client.connected = False
        error = client.sock.connect_ex(self._target)
        if error not in (0, errno.EINPROGRESS):
            self._failed(client, f"connect: {errno.errorcode.get(error)}")
            return
        self._selector.register(client.sock, selectors.EVENT_WRITE, client)

    def _send(self, client: _Client) -> None:
        assert client.sock is not None
        try:
            client.sock.send(self._requests[client.keeps])
        except OSError as error:
            self._failed(client, f"send: {error!r}")

    def _ready(self, client: _Client, events: int) -> None:
        if client.sock is None:
            return
        if not client.connected:
            error = client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self._failed(client, f"connect: {errno.errorcode.get(error)}")
                return
            client.connected = True
            self._selector.modify(client.sock, selectors.EVENT_READ, client)
            self._send(client)
            return
        try:
            data = client.sock.recv(65536)
        except OSError as error:
            self._failed(client, f"recv: {error!r}")
            return
        if data:
            client.received += data
            self._look(client)
        else:
            self._failed(
                client, f"closed after {client.received[:80]!r}" if client.busy else "closed while idle"
            )

    def _look(self, client: _Client) -> None:
        head, end, body = client.received.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), None)
        if length is None:
            self._failed(client, f"an answer without length: {head!r}")
        elif len(body) >= length:
            status = lines[0].split(b" ")[1]
            if status != b"200":
                self._failed(client, f"answer {lines[0]!r}")
                return
            self._succeeded(client, body, closes=b"connection: close" in lines)

    def _succeeded(self, client: _Client, body: bytes, *, closes: bool) -> None:
        with self._changed:
            self._phase.seconds.append(time.monotonic() - client.started)
            self._phase.bodies.add(body)
            self._changed.notify_all()
        if closes:
            self._close(client)
        self._rest(client)

    def _failed(self, client: _Client, why: str) -> None:
        kind = "keep-alive" if client.keeps else "fresh"
        with self._changed:
            self._phase.failures.append(f"{kind} client {client.number}: {why}")
            self._changed.notify_all()
        was_busy = client.busy
        self._close(client)
        if was_busy:
            self._rest(client)

    def _rest(self, client: _Client) -> None:
        client.busy = False
        heapq.heappush(self._due, (max(time.monotonic(), client.started + self._pace_s), client.number))

    def _close(self, client: _Client) -> None:
        if client.sock is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(client.sock)
            client.sock.close()
            client.sock = None
