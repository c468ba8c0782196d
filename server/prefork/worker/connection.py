"""One client connection: bytes in, requests to the executor, bytes out.

Owns: the socket, its phase and deadline, what is still to be sent. A connection has one owner at a time: the loop thread, or,
while `busy`, the thread that runs its request (`exchange`). Methods say who may call them. Runs in the worker. Must not know: how
requests are parsed (`http`), how they are answered (`wsgi`), who else is connected.

    FRESH --bytes--> HEAD --> BODY --> APPLICATION --> IDLE --bytes--> HEAD ...
                       |        |           |  `--> FLUSH (slow reader) --> APPLICATION
                       `--------`-----------`--> LINGER --> closed
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from prefork.http.errors import ProtocolError
from prefork.http.receiver import Expects, Request, RequestReceiver
from prefork.http.request_line import RequestHead
from prefork.http.response import CONTINUE, short_answer
from prefork.ipc.seat import here
from prefork.worker.exchange import ABANDON, COMPLETE, RESPOND, RESUME, WAITING, Exchange
from prefork.worker.executors import Executor, Leftovers, Step
from prefork.worker.kept import MOMENT_S, Kept
from prefork.worker.loop import READ, WRITE
from prefork.worker.pace import extended, unread
from prefork.worker.refused import tell_refused
from prefork.worker.sender import Sender
from prefork.worker.takeover import Claim
from prefork.worker.timers import NEVER
from prefork.worker.transport import Transport
from prefork.wsgi.input import SpooledBody

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


class Connection:
    """One accepted socket until it is closed."""

    __slots__ = (
        "_client_closes",
        "_correct",
        "_events",
        "_exchange",
        "_executor",
        "_fd",
        "_home",
        "_kept",
        "_lingered",
        "_next_request",
        "_number",
        "_receiver",
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
        self._correct = correct
        self._receiver = RequestReceiver(home.limits, environ, home.new_body)
        self._sender = Sender(sock)
        self._exchange = Exchange(home, sock, self._receiver, self._sender, peer)
        self._executor: Executor = home.executor  # runs the present exchange
        self._next_request: Request | None = None  # pipelined: begins in the next turn
        self._number = home.opened
        self._served = 0
        self._events = 0  # what epoll watches the socket for
        self._client_closes = False
        self._kept: Kept | None = None  # the rest of the present body, or of one for which the moment is over
        self._lingered = 0
        self._unread = 0  # of the response in FLUSH: bytes on their way when we last looked
        self.phase = FRESH
        self.busy = False
        """A pool thread has the connection."""
        self.parked = False
        """Taken out of epoll because the client sent more while `busy`."""
        self.deadline = home.clock() + home.times.header_s
        self.bucket: float = 0

    # Reading: loop thread ---------------------------------------------------------------------------------------

    def start(self, first: bytes = b"") -> None:
        """Reads at once: with luck the request came with the handshake, and epoll never hears of this connection.

        `first` has been received already, behind a header of the PROXY protocol.
        """
        if first:
            self._feed(first)
        else:
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
        fast_read = self._home.fast_read
        if fast_read is not None and self.phase <= IDLE:
            fast_read(self)
            return
        if self.phase is BODY and self._reads_directly():
            return
        try:
            data = self._sock.recv(RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if data:
            self._feed(data)
        else:
            self._end_of_input()

    def _reads_directly(self) -> bool:
        """Receives a large body to where it stays. False: `feed` has to have what is there."""
        kept = self._kept
        if kept is not None and kept.waiting:
            if kept.complete():
                kept.hand_over(lambda: self._sender.claim)
                self._start(self._receiver.all_but_fetched())
                return True
            kept.stop()  # too early
            self.deadline += kept.patience_s
        receive = getattr(
            self._sock, "recvmsg_into", None
        )  # TLS has none: what it decrypts may go on behind the body
        if receive is None:
            return False
        try:
            buffers = self._receiver.room()
        except Exception as error:  # noqa: BLE001 - logged and answered
            self._refuse_for(error)
            return True
        if buffers is None:
            return False
        try:
            count = receive(buffers)[0]
        except BlockingIOError:
            return True
        except OSError:
            self.close()
            return True
        if not count:
            self._end_of_input()
            return True
        try:
            request = self._receiver.filled(count)
        except Exception as error:  # noqa: BLE001 - logged and answered
            self._refuse_for(error)
        else:
            if request is None:
                self._await_rest(count)
            else:
                self._start(request)
        return True

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

    def _behind(self, head: RequestHead, environ: dict[str, Any], data: bytes, at: int) -> Request | None:
        """As `_feed`, where the head has been read already, and `data` goes on at `at`. The request is left to be started."""
        try:
            request = self._receiver.behind(head, environ, data, at)
        except Exception as error:  # noqa: BLE001 - logged and answered
            self._refuse_for(error)
            return None
        if request is None:
            self._await_rest(len(data))
        return request

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
            else:
                self._keep(now)
        elif (
            self.phase is not HEAD and receiver.expects is not Expects.IDLE
        ):  # IDLE: it was only an empty line
            # The limit runs from the first byte and is not moved by the next ones (a byte a second is no progress); on
            # a fresh connection it runs from accept.
            if self.phase is not FRESH:
                self.deadline = self._home.clock() + times.header_s
            self.phase = HEAD
        self._wait_for(READ)

    def _keep(self, now: float) -> None:
        """Leaves the rest of a large body in the kernel for a moment."""
        missing = self._receiver.missing()
        patience_s = self.deadline - now - MOMENT_S
        if missing <= RECV_BYTES or patience_s <= 0:  # nearly there, or in no time
            return
        kept = self._kept
        if kept is None:
            sink = self._receiver.sink()
            assert isinstance(sink, SpooledBody)
            kept = self._kept = self._home.keeper.keep(self._sock, sink, missing)
        elif not kept.wait(missing):
            return
        if kept is not None:
            kept.patience_s = patience_s
            self.deadline = now + MOMENT_S

    def _decode_more(self) -> None:
        """Goes on with a body of very many pieces, a bounded number in each turn. Nothing is read meanwhile."""
        if self.phase is DECODE:
            self.phase = BODY
            self._feed(b"")

    def _start(self, request: Request, may_be_old: bool = False) -> None:
        home = self._home
        home.requests += 1
        self._client_closes = not request.head.keep_alive
        environ = request.environ
        if self._correct is not None:
            self._correct(environ)
        self._served = served = self._served + 1
        environ["prefork.connection"] = (self._number, served)
        self._run(request, served == 1, may_be_old)

    def _run(self, request: Request, first: bool, may_be_old: bool = False) -> None:
        home = self._home
        for_loop = self._exchange.take(request, first, may_be_old)
        self._executor = executor = home.inline if for_loop else home.executor
        if home.on_claim is not None:
            self._sender.claim = None if executor is home.inline else Claim(self)
        self.phase = APPLICATION  # `_hand_over`, without a call
        self.deadline = NEVER
        self.busy = True
        executor.run(self, RESPOND)

    def _hand_over(self, step: Step) -> None:
        self.phase = APPLICATION
        self.deadline = NEVER
        self.busy = True
        self._executor.run(self, step)

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
        """Goes on with the exchange. True: at rest again, the loop need not be told."""
        exchange = self._exchange
        fast = self._home.fast_perform
        outcome = exchange.perform(step) if fast is None or step is not RESPOND else fast(self, here.seat)
        # (TAKEN_OVER: the connection is the loop's, or gone; `settle` only takes note)
        if outcome is WAITING:
            return False
        if self._kept is not None and outcome is COMPLETE:
            self._drop_kept(self._kept)
        after = exchange.leave(outcome)
        at_rest = outcome is COMPLETE and self._rest_without_loop()
        # From here on the connection may be another thread's, or gone.
        if after is None:
            return at_rest
        after.at_rest = at_rest
        return after

    def _drop_kept(self, kept: Kept) -> None:
        """What the application has left of its request's body."""
        self._kept = None
        response = self._exchange.response
        if not kept.finish() and response is not None:
            response.keep_alive = False

    def _rest_without_loop(self) -> bool:
        """The response is out: can the connection stay? Any thread: the order of the last three lines is the protocol."""
        exchange = self._exchange
        response = exchange.response
        assert response is not None
        if not response.keep_alive:
            return False
        home = self._home
        deadline = home.clock() + home.times.keepalive_s
        # A bucket later than that: the wheel has to be told, which only the loop may do.
        if self._receiver.pending or self._events != READ or self.bucket > deadline + 1:
            return False
        exchange.response = None
        self.phase = IDLE
        self.deadline = deadline
        self.busy = False
        if self.parked:
            home.loop.post(self.unpark)
        return True

    # After the application: loop thread ---------------------------------------------------------------------------

    def settle(self) -> None:
        """The application's step is over and something is left to do: flush, next request, or goodbye."""
        if self.phase is not APPLICATION:
            self._exchange.forget()
            self._home.taken_over(-1)
            return
        self.busy = self.parked = False
        response = self._exchange.response
        if response is None:  # given up
            self._say_goodbye()
            return
        if not self._sender.empty or not response.done:
            self.phase = FLUSH
            self.deadline = self._home.clock() + self._home.times.write_s
            self._unread = unread(self._fd)
            self._wait_for(WRITE)
            if self._sender.oversized:
                self._home.spiller.add(self)
            return
        self._exchange.response = None
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
        request, self._next_request = self._next_request, None
        if request is not None and self.phase is APPLICATION:
            self._start(request, may_be_old=True)

    def _flush(self) -> None:
        self._note_progress()
        try:
            done = self._sender.flush()
        except OSError as error:
            self.abandon(error)
            return
        if done:
            self._hand_over(RESUME)
        else:
            self._unread = unread(self._fd)

    def spill(self, most: int) -> bool:
        """Moves at most `most` bytes of what the client does not read out of memory. True: there is more, and it still waits."""
        if self.phase is not FLUSH or not self._sender.oversized:
            return False
        try:
            return self._sender.spill(most)
        except OSError as error:  # it stays where it is
            client = self._exchange.client
            self._home.context.log.warning("response_not_stored", error=str(error), client=client)
            return False

    def _note_progress(self) -> None:
        """What the client took since the last look buys it time."""
        before, self._unread = self._unread, unread(self._fd)
        times = self._home.times
        taken = before - self._unread
        self.deadline = extended(self.deadline, self._home.loop.now, times.write_s, taken, times.s_per_byte)

    def abandon(self, why: OSError) -> None:
        """In FLUSH: the rest of the response will not be sent."""
        self._exchange.lost = why
        self._sender.clear()
        self._hand_over(ABANDON)

    def answer_instead(self) -> None:
        """The thread that has the request does not come back and has sent nothing; the loop has its claim (see `takeover`).

        From here on the connection is the loop's again, and ends."""
        self._home.taken_over(1)
        self.busy = False
        self._sender.send_now(self._exchange.answer_instead())
        self._linger()

    # Ending: loop thread ------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """The deadline has passed."""
        kept = self._kept
        if kept is not None and kept.waiting:
            kept.stop(for_good=True)
            self.deadline += kept.patience_s
            self._home.loop.watch(self)
        elif self.phase in (HEAD, BODY, DECODE):
            self._refuse(408, "the request did not arrive in time")
        elif self.phase is FLUSH:
            self._note_progress()
            if self.deadline > self._home.loop.now:  # it reads, only not enough for the socket to have room
                self._home.loop.watch(self)
                return
            self.abandon(ConnectionAbortedError("the client did not read its response in time"))
        elif self.phase is not APPLICATION:
            self.close()

    def turn_out(self) -> None:
        """Gives way to a new connection, in the middle of a head."""
        self._answer(503)
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
            self._home.context.log.error("body_not_stored", error=str(error), client=self._exchange.client)
            self._refuse(503, "the request body cannot be stored")
        else:
            self._exchange.report(error)
            self._refuse(500, "internal error")

    def _refuse(self, status: int, detail: str) -> None:
        """Answers by ourselves, then closes."""
        context = self._home.context
        context.log.debug("request_refused", status=status, detail=detail, client=self._exchange.client)
        self._answer(status)
        self._linger()

    def _answer(self, status: int) -> None:
        """The short answer to a request that will not be served; it is counted, and in the access log."""
        context = self._home.context
        answer = short_answer(status, date_and_server=context.stamp.both)
        self._sender.send_now(answer)
        number = (self._number, self._served + 1)
        tell_refused(context.access, self._receiver, self._correct, number, status, answer)

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
        if self._kept is not None:
            self._kept.stop()
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
            data = self._sock.recv(RECV_BYTES)
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
            try:
                if self._events:
                    self._home.loop.modify(self._fd, events)
                else:
                    ear = self._home.ear
                    self._home.loop.add(self._fd, events, self.on_event if ear is None else ear(self))
            except OSError as error:
                self._cannot_wait(error)
                return
            self._events = events
        self._home.loop.watch(self)

    def _cannot_wait(self, error: OSError) -> None:
        """Nobody would tell what the client does: this connection ends, the others go on."""
        self._home.context.log.warning("not_watched", error=str(error), client=self._exchange.client)
        if self.phase is FLUSH:
            self.abandon(error)
        else:
            self.close()

    def _forget_events(self) -> None:
        if self._events:
            self._events = 0
            self._home.loop.remove(self._fd)
