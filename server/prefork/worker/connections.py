"""The connections of one worker: what they share, how many there are, who goes when there are too many.

Owns: the registry of open connections, the time limits and bounds they live by, whether the worker drains. Runs in the worker,
loop thread (pool threads only read). Must not know: epoll, how listeners work.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from heapq import nsmallest
from typing import TYPE_CHECKING, Any

import msgspec

from prefork.http.limits import Limits
from prefork.ipc.seat import Seat
from prefork.worker.connection import Connection, Phase
from prefork.worker.exchange import Outcome
from prefork.worker.executors import Executor, InlineExecutor
from prefork.worker.kept import Keeper
from prefork.worker.loop import EventLoop
from prefork.worker.shedding import Shedding
from prefork.worker.spill import Spiller
from prefork.worker.takeover import Claim
from prefork.worker.transport import Transport
from prefork.wsgi.chunks import ChunkPool
from prefork.wsgi.context import ServerContext
from prefork.wsgi.failures import application_traceback
from prefork.wsgi.handler import WSGIRequestHandler
from prefork.wsgi.input import SpooledBody

if TYPE_CHECKING:
    from prefork.worker.preamble import Preamble
    from prefork.wsgi.static import StaticFiles

HEAD_PATIENCE_S = 1.0
"""A head fits into the first packets of a connection. Who takes longer gives way to others, but only when there is no room."""


FIRST_REQUEST_S = 2.0
"""How long a new connection has for its first request in a worker that leaves, where none waits for a next one."""


class TimeLimits(msgspec.Struct, frozen=True):
    """Seconds; see `[requests]` in the settings."""

    header_s: float
    body_s: float
    write_s: float
    keepalive_s: float
    s_per_byte: float = float("inf")
    """What each byte of a body puts back into its reserve of time (`pace`)."""


class Connections:
    """All connections of this worker, and what each needs from its surroundings."""

    __slots__ = (
        "_arriving",
        "_members",
        "backlog",
        "buffer_bodies",
        "chunks",
        "clock",
        "connect",
        "context",
        "ear",
        "executor",
        "fast_perform",
        "fast_read",
        "handler_class",
        "inline",
        "keep_alive",
        "keeper",
        "limits",
        "loop",
        "maximum",
        "on_claim",
        "on_count",
        "on_room",
        "opened",
        "overdue",
        "requests",
        "shedding",
        "spiller",
        "static",
        "taker",
        "times",
    )

    def __init__(
        self,
        loop: EventLoop,
        clock: Callable[[], float],
        context: ServerContext,
        handler_class: type[WSGIRequestHandler],
        limits: Limits,
        times: TimeLimits,
        maximum: int,
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.context = context
        self.handler_class = handler_class
        self.limits = limits
        self.times = times
        self.maximum = maximum
        self.keep_alive = True
        """False while draining: each further response says `Connection: close`."""
        self.requests = 0
        """Requests served by this worker."""
        self.on_room: Callable[[], None] | None = None
        """Called when a connection has closed; None: nobody waits for that."""
        self.shedding: Shedding | None = None
        """`[requests] queue_timeout`; None: requests may wait however long."""
        self.on_count: Callable[[int, int], None] = lambda _count, _opened: None
        """Told how many connections there are, and how many there have been, whenever that changes."""
        self.on_claim: Callable[[int, Claim], None] | None = None
        """Told by its thread the step and the claim of each request; None: requests are not interrupted, and nobody claims."""
        self.overdue = 0
        """Requests that the loop has answered because their threads did not come back, and which have not come back yet."""
        self.executor: Executor
        self.inline = InlineExecutor()
        """Runs what is served without the application."""
        self.fast_read: Callable[[Connection], None] | None = None
        """Reads and answers ordinary requests (see `fastpath`); None: Python does it."""
        self.ear: Callable[[Connection], Callable[[int], None]] | None = None
        """Makes what is told the news of one connection, and uses the former; None: its `on_event` is."""
        self.fast_perform: Callable[[Connection, Seat], Outcome] | None = None
        """Answers ordinary requests in a thread of a pool; None: Python does it."""
        self.connect: Callable[..., Connection] = partial(Connection, self)
        """(sock, peer, environ, correct): makes a connection."""
        self.taker: Callable[..., Callable[[], bool]] | None = None
        """Makes what accepts and opens in one step (see `Reception.taker`); None: Python does it."""
        self.static: StaticFiles | None = None
        self.chunks: ChunkPool | None = None
        """Memory for bodies above `body_memory`; None: they go to files."""
        self.keeper = Keeper()
        self.buffer_bodies = True
        """False: the application is called when the head is here, and reads the body from the socket."""
        self.spiller = Spiller(clock, loop.watch, loop.defer)
        self.opened = 0
        """Connections so far."""
        self.backlog = True
        """Newcomers may have waited in the queue of a listener: nobody listened here, and none has come since who had not."""
        self._members: set[Connection] = set()
        self._arriving: set[Preamble] = set()

    def __len__(self) -> int:
        return len(self._members) + len(self._arriving)

    @property
    def asks_newcomers(self) -> bool:
        """Whether the kernel is asked how long the first request of a connection has waited."""
        return self.backlog or self.shedding is not None

    @property
    def new_body(self) -> Callable[[], SpooledBody] | None:
        """Makes the place where the body of one request goes; None: bodies are not collected."""
        return self._new_body if self.buffer_bodies else None

    def _new_body(self) -> SpooledBody:
        return SpooledBody(self.limits.body_memory, self.chunks)

    def open(
        self,
        sock: Transport,
        peer: object,
        environ: dict[str, Any],
        correct: Callable[[dict[str, Any]], None] | None = None,
        first: bytes = b"",
    ) -> None:
        """Takes over an accepted, non-blocking socket and reads what is already there. `correct` is applied to the environ of
        each request; `first` was received before."""
        if (connection := self._new(sock, peer, environ, correct)) is not None:
            connection.start(first)

    def turn_away(
        self, sock: socket.socket, peer: object, environ: dict[str, Any], status: int | None, detail: str
    ) -> None:
        """Answers (if there is a status) and closes without a reset, instead of `open`."""
        if (connection := self._new(sock, peer, environ, None)) is not None:
            connection.turn_away(status, detail)

    def _new(
        self,
        sock: Transport,
        peer: object,
        environ: dict[str, Any],
        correct: Callable[[dict[str, Any]], None] | None,
    ) -> Connection | None:
        self.opened += 1
        try:
            connection = self.connect(sock, peer, environ, correct)
        except Exception as error:  # noqa: BLE001 - the constructor of a handler's subclass
            self._not_made(sock, error)
            return None
        self._members.add(connection)
        self._tell_count()
        return connection

    def _not_made(self, sock: Transport, error: Exception) -> None:
        sock.close()
        self.has_room()  # it may have arrived before, and counted
        self.context.log.error(
            "handler_failed",
            error=f"{type(error).__name__}: {error}",
            traceback=application_traceback(error),
            exception=error,
        )

    def arrive(self, preamble: Preamble) -> None:
        """A connection that does not speak HTTP yet; it counts."""
        self._arriving.add(preamble)
        self._tell_count()

    def arrived(self, preamble: Preamble) -> None:
        """It speaks now, or is gone."""
        self._arriving.discard(preamble)
        self._tell_count()

    def closed(self, connection: Connection) -> None:
        """Called by the connection, once."""
        self._members.discard(connection)
        self._tell_count()
        self.has_room()

    def has_room(self) -> None:
        """Tells whoever waits for a connection to close."""
        if self.on_room is not None:
            self.on_room()

    def taken_over(self, change: int) -> None:
        """A thread is overdue (1), or has come back (-1).

        Whoever wants to end this worker must not take the connection of a healthy request for that of the stuck one, which has
        none any more: both are counted."""
        self.overdue += change
        self._tell_count()

    def _tell_count(self) -> None:
        self.on_count(len(self._members) + len(self._arriving) + self.overdue, self.opened)

    def end_after_response(self) -> None:
        """From now on each response says `Connection: close`."""
        self.keep_alive = False
        self.context.stamp.closing = True

    def drain(self) -> None:
        """No connection lives past its next response. Idle ones end by their time limit: to cut one now could meet a request
        that is already on its way (RFC 9112 section 9.6)."""
        self.end_after_response()
        latest = self.loop.now + (self.times.keepalive_s or FIRST_REQUEST_S)
        fresh: list[Connection | Preamble] = [*self._arriving]
        fresh += [connection for connection in self._members if connection.phase is Phase.FRESH]
        for connection in fresh:
            if connection.deadline > latest:
                connection.limit_until(latest)

    def give_up(self, why: OSError) -> None:
        """Sends no more to those that do not read their response: close() of its iterable, then the end."""
        for connection in [c for c in self._members if c.phase is Phase.FLUSH]:
            connection.abandon(why)

    def close_all(self) -> None:
        """Closes what is left. To be called when no request runs, and the loop turns no more."""
        everything: list[Connection | Preamble] = [*self._arriving, *self._members]
        for connection in everything:
            connection.close()

    @property
    def receiving(self) -> int:
        """How many have a request on its way to us, or have just come and are about to send their first."""
        return len(self._arriving) + sum(
            c.phase <= Phase.DECODE and c.phase is not Phase.IDLE for c in self._members
        )

    @property
    def answering(self) -> int:
        """How many have a response on its way."""
        return sum(c.phase in (Phase.APPLICATION, Phase.FLUSH) for c in self._members)

    def close_idle(self, most: int | None = None) -> int:
        """Closes those that are between two requests, longest idle first, at most `most`. Gives how many."""
        idle: list[Connection | Preamble] = [*self._arriving]
        idle += [c for c in self._members if c.phase in (Phase.IDLE, Phase.FRESH, Phase.LINGER)]
        chosen = idle if most is None else nsmallest(most, idle, key=lambda connection: connection.deadline)
        for connection in chosen:
            connection.close()
        return len(chosen)

    def make_room(self, most: int) -> int:
        """Closes at most `most` for the sake of new ones: idle ones, and if there are none, those whose head has been on its way
        for longer than an honest client needs. Gives how many."""
        return self.close_idle(most) or self._turn_out_slow_heads(most)

    def _turn_out_slow_heads(self, most: int) -> int:
        latest = self.loop.now + self.times.header_s - HEAD_PATIENCE_S
        slow = [c for c in self._members if c.phase is Phase.HEAD and c.deadline < latest]
        chosen = nsmallest(most, slow, key=lambda connection: connection.deadline)
        for connection in chosen:
            connection.turn_out()
        return len(chosen)
