"""One client connection: bytes in, requests to the executor, bytes out.

Owns: the socket, its phase and deadline, what is still to be sent. A connection has one owner at a time: the loop thread, or,
while `busy`, the thread that runs its request. Methods say who may call them. Runs in the worker. Must not know: how requests are
parsed (`http`), what the application is (`wsgi`), who else is connected.

    FRESH --bytes--> HEAD --> BODY --> APPLICATION --> IDLE --bytes--> HEAD ...
                       |        |           |  `--> FLUSH (slow reader) --> APPLICATION
                       `--------`-----------`--> LINGER --> closed
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from contextvars import Context, copy_context
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from prefork.http.errors import ProtocolError
from prefork.http.receiver import Expects, Request, RequestReceiver
from prefork.http.response import CONTINUE, short_answer
from prefork.ipc.seat import Seat, here
from prefork.net.tcp_info import last_data_received_s
from prefork.worker.executors import Leftovers, Step
from prefork.worker.incoming import IncomingBody
from prefork.worker.loop import READ, WRITE
from prefork.worker.pace import extended, unread
from prefork.worker.sender import Sender
from prefork.worker.timers import NEVER
from prefork.worker.transport import Transport
from prefork.wsgi.after import CallsAfter
from prefork.wsgi.input import StreamedBody
from prefork.wsgi.response import Response
from prefork.wsgi.static import StaticFiles

if TYPE_CHECKING:
    from prefork.worker.connections import Connections

RECV_BYTES = 64 * 1024
"""Read at once; the default receive buffer of Linux starts at 128 KiB and half of it is payload (tcp(7), tcp_rmem)."""

LINGER_S = 2.0
"""How long a closed connection still takes bytes: a reset must not overtake the answer (RFC 9112 section 9.6)."""

LINGER_BYTES = 1024 * 1024
"""And how many bytes at most."""


class Phase(IntEnum):
    """Where a connection stands. The order matters: up to BODY it reads requests."""

    FRESH = 0
    IDLE = 1
    HEAD = 2
    BODY = 3
    DECODE = 4
    APPLICATION = 5
    FLUSH = 6
    LINGER = 7
    CLOSED = 8


# Looking up a member of an enum costs more than comparing it.
FRESH, IDLE, HEAD, BODY, DECODE, APPLICATION, FLUSH, LINGER, CLOSED = Phase
RESPOND, RESUME, ABANDON = Step


class Connection:
    """One accepted socket until it is closed."""

    __slots__ = (
        "_arrived",
        "_client_closes",
        "_context",
        "_correct",
        "_events",
        "_extension_ns",
        "_fd",
        "_handler",
        "_home",
        "_lingered",
        "_lost",
        "_next_request",
        "_number",
        "_ours",
        "_receiver",
        "_recv",
        "_response",
        "_sender",
        "_served",
        "_sock",
        "_unread",
        "bucket",
        "busy",
        "deadline",
        "parked",
        "phase",
    )

    def __init__(
        self,
        home: Connections,
        sock: Transport,
        peer: object,
        environ: dict[str, Any],
        correct: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._home = home
        self._sock = sock
        self._fd = sock.fileno()
        self._recv = sock.recv
        self._correct = correct
        self._receiver = RequestReceiver(home.limits, environ, home.new_body)
        self._sender = Sender(sock)
        self._handler = home.handler_class(home.context, peer, self._sender.write_through)
        self._response: Response | None = None
        self._context: Context | None = None
        self._next_request: Request | None = None
        self._ours: StaticFiles | None = None  # serves the present request instead of the application
        self._number = home.opened
        self._served = 0
        self._events = 0  # what epoll watches the socket for
        self._client_closes = False
        self._lingered = 0
        self._lost: OSError | None = None  # why the response in FLUSH cannot go on
        self._unread = 0  # of the response in FLUSH: bytes on their way when we last looked
        self._arrived = 0.0  # when the last bytes of the request came here, if anybody wants to know
        self._extension_ns = 0  # see `Seat.suspend`
        self.phase = FRESH
        self.busy = False
        """A pool thread has the connection."""
        self.parked = False
        """Taken out of epoll because the client sent more while `busy`."""
        self.deadline = home.clock() + home.times.header_s
        self.bucket = 0

    # Reading: loop thread ---------------------------------------------------------------------------------------

    def start(self, first: bytes = b"") -> None:
        """Reads at once: with luck the request came with the handshake, and epoll never hears of this connection.

        `first` has been received already, behind a header of the PROXY protocol.
        """
        if first:

            def recv_first(_size: int) -> bytes:
                self._recv = self._sock.recv
                return first

            self._recv = recv_first
        self.read()
        if self.phase is FRESH:
            self._wait_for(READ)

    def on_event(self, _events: int) -> None:
        """epoll has something. Errors and hang-ups show when the socket is used."""
        if self.busy:
            self._park()
        elif self.phase <= BODY:
            self.read()
        elif self.phase is FLUSH:
            self._flush()
        elif self.phase is LINGER:
            self._discard()

    def read(self) -> None:
        """Takes what is there and starts the request if it is complete."""
        try:
            data = self._recv(RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if data:
            self._feed(data)
        else:
            self._end_of_input()

    def _feed(self, data: bytes) -> None:
        try:
            request = self._receiver.feed(data)
        except Exception as error:  # noqa: BLE001 - logged and answered
            self._refuse_for(error)
        else:
            if request is None:
                self._await_rest(len(data))
            else:
                self._start(request)

    def _end_of_input(self) -> None:
        try:
            self._receiver.eof()
        except Exception as error:  # noqa: BLE001 - logged and answered
            self._refuse_for(error)
        else:
            self.close()

    def _await_rest(self, moved: int = 0) -> None:
        """There is no complete request yet; `moved` bytes have just come."""
        receiver = self._receiver
        times = self._home.times
        if receiver.expects is Expects.BODY:
            if receiver.wants_continue:
                receiver.wants_continue = False
                self._sender.send_now(CONTINUE)
            now = self._home.loop.now
            if self.phase is BODY:
                self.deadline = extended(self.deadline, now, times.body_s, moved, times.s_per_byte)
            else:
                self.phase = BODY
                self.deadline = now + times.body_s
            if receiver.more:
                self.phase = DECODE
                self._home.loop.defer(self._decode_more)
        elif (
            self.phase is not HEAD and receiver.expects is not Expects.IDLE
        ):  # IDLE: it was only an empty line
            # The limit runs from the first byte and is not moved by the next ones (a byte a second is no progress); on
            # a fresh connection it runs from accept.
            if self.phase is not FRESH:
                self.deadline = self._home.clock() + times.header_s
            self.phase = HEAD
        self._wait_for(READ)

    def _decode_more(self) -> None:
        """Goes on with a body of very many pieces, a bounded number in each turn. Nothing is read meanwhile."""
        if self.phase is DECODE:
            self.phase = BODY
            self._feed(b"")

    def _start(self, request: Request) -> None:
        home = self._home
        home.requests += 1
        self._client_closes = not request.head.keep_alive
        if self._correct is not None:
            self._correct(request.environ)
        self._next_request = request
        self._served += 1
        request.environ["prefork.connection"] = (self._number, self._served)
        if home.static is not None:
            self._ours = home.static if home.static.serves(request.environ["PATH_INFO"]) else None
        if self._home.shedding is not None:
            self._arrived = self._home.clock() - last_data_received_s(self._sock)
        self._hand_over(RESPOND)

    def _hand_over(self, step: Step) -> None:
        self.phase = APPLICATION
        self.deadline = NEVER
        self.busy = True
        (self._home.executor if self._ours is None else self._home.inline).run(self, step)

    def _park(self) -> None:
        # Level-triggered epoll would report the bytes again and again; and a hang-up cannot be masked (epoll_ctl(2)).
        if not self.parked:
            self.parked = True
            self._forget_events()
            if not self.busy:  # it came to rest in between
                self.unpark()

    def unpark(self) -> None:
        """Watches the socket again after the request that ran while the client went on sending."""
        if self.parked and self.phase is not CLOSED:
            self.parked = False
            if not self.busy:
                self._wait_for(READ)

    # Answering: the thread that has the request -------------------------------------------------------------------

    def perform(self, step: Step) -> bool | Leftovers:
        """Runs the application as far as the socket takes its output. True: at rest again, the loop need not be told.

        All steps of one request run in a context of its own (contextvars): while its response waits for the client, this thread
        serves others, and another thread may go on with it. Without that, frameworks would see each other's requests.
        """
        context = self._context
        if context is None:
            self._context = context = copy_context()
        return context.run(self._perform, step)

    def _perform(self, step: Step) -> bool | Leftovers:
        handler = self._handler
        seat = here.seat
        dropped: OSError | None = None
        response = self._response
        try:
            if step is RESPOND:
                self._response = response = self._respond(seat)
            else:
                seat.begin(handler.request_line(), handler.address_string(), self._extension_ns)
            assert response is not None
            try:
                if step is ABANDON:
                    dropped = self._lost
                elif not self._sender.pump(response, handler.pull, seat):
                    self._extension_ns = seat.suspend()
                    return False
            except OSError as error:
                dropped = error
            if dropped is not None and not isinstance(
                dropped, ConnectionError
            ):  # a file or our disk, not the client
                response.problem = f"the response cannot be sent: {dropped}"
            handler.end(response, dropped)
            seat.finish(response.status, response.body_bytes)
        except BaseException as error:  # noqa: BLE001 - of a handler's subclass, or ours: it ends this connection, not the worker
            self._report(error)
            if response is not None:
                response.close_quietly()
            self._response = response = None
            seat.finish(500, 0)
        context, self._context = self._context, None
        if handler.failures:
            seat.count_exceptions(handler.failures)
            handler.failures = 0
        if response is None or dropped is not None:
            self._sender.clear()
            self._response = None
            at_rest = False
        else:
            at_rest = response.keep_alive and self._rest_without_loop()
        # From here on the connection may be another thread's, or gone.
        if response is None or response.later is None:
            return at_rest
        assert context is not None
        return CallsAfter(response, context.run, self._home.context.log, at_rest)

    def _respond(self, seat: Seat) -> Response:
        request, self._next_request = self._next_request, None
        assert request is not None
        seat.begin(request.head.line, request.environ["REMOTE_ADDR"])
        home = self._home
        shedding = home.shedding
        if request.begun is not None:
            request.body = self._streamed(request.begun)
        if shedding is not None and self._ours is None and shedding.is_late(self._arrived):
            seat.count_shed()
            return self._handler.turn_away(request, home.keep_alive, shedding.retry_after_s)
        return self._handler.respond(request, home.keep_alive, self._ours)

    def _streamed(self, begun: bytes) -> StreamedBody:
        body = IncomingBody(
            self._receiver,
            self._fd,
            self._recv,
            self._sender.write_through,
            self._handler.response_begun,
            self._home.times.body_s,
            self._home.times.s_per_byte,
        )
        return StreamedBody(begun, body.receive, body.unread)

    def _rest_without_loop(self) -> bool:
        """The response is out and the connection stays. Any thread: the order of the last three lines is the protocol."""
        home = self._home
        deadline = home.clock() + home.times.keepalive_s
        # A bucket later than that: the wheel has to be told, which only the loop may do.
        if self._receiver.pending or self._events != READ or self.bucket > deadline + 1:
            return False
        self._response = None
        self.phase = IDLE
        self.deadline = deadline
        self.busy = False
        if self.parked:
            home.loop.post(self.unpark)
        return True

    # After the application: loop thread ---------------------------------------------------------------------------

    def settle(self) -> None:
        """The application's step is over and something is left to do: flush, next request, or goodbye."""
        self.busy = self.parked = False
        response = self._response
        if response is None:  # given up
            self._say_goodbye()
            return
        if not self._sender.empty or not response.done:
            self.phase = FLUSH
            self.deadline = self._home.clock() + self._home.times.write_s
            self._unread = unread(self._fd)
            self._wait_for(WRITE)
            return
        self._response = None
        if not response.keep_alive:
            self._say_goodbye()
            return
        try:
            request = self._receiver.next()
        except Exception as error:  # noqa: BLE001 - logged and answered
            self._refuse_for(error)
            return
        if request is None:
            self.phase = IDLE
            self.deadline = self._home.clock() + self._home.times.keepalive_s
            if self._receiver.expects is Expects.IDLE:
                self._wait_for(READ)
            else:
                self._await_rest()
        else:
            # Not at once: a client that pipelines without end must not keep the others waiting.
            self._next_request = request
            self.phase = APPLICATION
            self._home.loop.defer(self._start_deferred)

    def _start_deferred(self) -> None:
        request = self._next_request
        if request is not None and self.phase is APPLICATION:
            self._start(request)

    def _flush(self) -> None:
        self._note_progress()
        try:
            done = self._sender.flush()
        except OSError as error:
            self._abandon(error)
            return
        if done:
            self._hand_over(RESUME)
        else:
            self._unread = unread(self._fd)

    def _note_progress(self) -> None:
        """What the client took since the last look buys it time."""
        before, self._unread = self._unread, unread(self._fd)
        times = self._home.times
        taken = before - self._unread
        self.deadline = extended(self.deadline, self._home.loop.now, times.write_s, taken, times.s_per_byte)

    def _abandon(self, why: OSError) -> None:
        self._lost = why
        self._sender.clear()
        self._hand_over(ABANDON)

    # Ending: loop thread ------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """The deadline has passed."""
        if self.phase in (HEAD, BODY, DECODE):
            self._refuse(408, "the request did not arrive in time")
        elif self.phase is FLUSH:
            self._note_progress()
            if self.deadline > self._home.loop.now:  # it reads, only not enough for the socket to have room
                self._home.loop.watch(self)
                return
            self._abandon(ConnectionAbortedError("the client did not read its response in time"))
        elif self.phase is not APPLICATION:
            self.close()

    def turn_out(self) -> None:
        """Gives way to a new connection, in the middle of a head."""
        self._sender.send_now(short_answer(503, date_and_server=self._home.context.stamp.both))
        self.close()

    def limit_until(self, deadline: float) -> None:
        """Ends the present phase at `deadline` (monotonic seconds)."""
        self.deadline = deadline
        self._home.loop.watch(self)

    def _refuse_for(self, error: Exception) -> None:
        """What came cannot be served: the client's fault, the disk's, or ours, which must not cost more than this connection."""
        if isinstance(error, ProtocolError):
            self._refuse(error.status, error.detail)
        elif isinstance(error, OSError):
            self._home.context.log.error("body_not_stored", error=str(error), client=self._client)
            self._refuse(503, "the request body cannot be stored")
        else:
            self._report(error)
            self._refuse(500, "internal error")

    def _report(self, error: BaseException) -> None:
        """An error that nobody foresaw. Any thread."""
        log = self._home.context.log
        log.error("internal_error", error=type(error).__name__, client=self._client)
        log.traceback("".join(traceback.format_exception(error)))

    @property
    def _client(self) -> str:
        # Not the handler's address_string: that may be code of a subclass.
        peer = self._handler.client_address
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def _refuse(self, status: int, detail: str) -> None:
        """Answers by ourselves, then closes."""
        context = self._home.context
        context.log.debug("request_refused", status=status, detail=detail, client=self._client)
        self._sender.send_now(short_answer(status, date_and_server=context.stamp.both))
        self._linger()

    def turn_away(self, status: int | None, detail: str) -> None:
        """Instead of `start`: ends the connection in peace, with an answer if there is a status."""
        if status is None:
            self._linger()
        else:
            self._refuse(status, detail)

    def _say_goodbye(self) -> None:
        # A reset would overtake the response on its way to the client if bytes are unread at close (RFC 9112 section 9.6).
        # Nothing more can be on its way when the client itself announced the end.
        receiver = self._receiver
        if receiver.pending or not self._client_closes or receiver.expects is not Expects.IDLE:
            self._linger()
        else:
            self.close()

    def _linger(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.parked = False
        self.phase = LINGER
        self.deadline = self._home.clock() + LINGER_S
        self._wait_for(READ)

    def _discard(self) -> None:
        try:
            data = self._recv(RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._lingered += len(data)
        if not data or self._lingered > LINGER_BYTES:
            self.close()

    def close(self) -> None:
        """Closes the socket; the connection is gone."""
        if self.phase is not CLOSED:
            self.phase = CLOSED
            self._home.loop.forget(self)
            self._forget_events()
            self._sender.clear()
            self._receiver.close()
            self._sock.close()
            self._home.closed(self)

    # Small helpers: loop thread -----------------------------------------------------------------------------------

    def _wait_for(self, events: int) -> None:
        if self._events != events:
            if self._events:
                self._home.loop.modify(self._fd, events)
            else:
                self._home.loop.add(self._fd, events, self.on_event)
            self._events = events
        self._home.loop.watch(self)

    def _forget_events(self) -> None:
        if self._events:
            self._events = 0
            self._home.loop.remove(self._fd)
