"""One request and its response, from the complete request to the last byte that the socket took.

Owns: running the application step by step in a context of its own, the seat on the scoreboard meanwhile, what is told when it
goes wrong. Runs in the worker: the thread that has the connection, one at a time (`Connection.busy`); `take` is for the loop.
Must not know: phases, deadlines, epoll, what becomes of the connection.
"""

from __future__ import annotations

import traceback
from contextvars import Context, copy_context
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from prefork.errors import RequestTimeout
from prefork.http.receiver import Request, RequestReceiver
from prefork.http.response import short_answer
from prefork.ipc.seat import Seat, here
from prefork.worker.arrival import WORTH_ASKING_S, arrived_s
from prefork.worker.executors import Step
from prefork.worker.incoming import IncomingBody
from prefork.worker.interruption import leave_out_handler
from prefork.worker.sender import Sender
from prefork.worker.transport import Transport
from prefork.wsgi.after import CallsAfter
from prefork.wsgi.input import StreamedBody
from prefork.wsgi.response import Response

if TYPE_CHECKING:
    from prefork.worker.connections import Connections
    from prefork.wsgi.static import StaticFiles


OVERDUE = 503
"""The status that is sent in the place of a thread that does not come back."""


class Outcome(Enum):
    """What a step has come to."""

    WAITING = "waiting"
    """The socket is full, or the turn over: there is more to come."""
    COMPLETE = "complete"
    """All of the response is out."""
    GIVEN_UP = "given up"
    """The client has gone, or prefork itself failed; nothing more can be sent."""
    TAKEN_OVER = "taken over"
    """The loop has answered meanwhile, and the connection is its own (see `takeover`)."""


# Looking up a member of an enum costs more than comparing it.
WAITING, COMPLETE, GIVEN_UP, TAKEN_OVER = Outcome
RESPOND, PROCEED, RESUME, ABANDON = Step


class Exchange:
    """The exchanges of one connection, one after the other."""

    __slots__ = (
        "_arrived",
        "_began_ns",
        "_context",
        "_extension_ns",
        "_handler",
        "_home",
        "_ours",
        "_receiver",
        "_request",
        "_sender",
        "_sock",
        "broken",
        "lost",
        "response",
    )

    def __init__(
        self, home: Connections, sock: Transport, receiver: RequestReceiver, sender: Sender, peer: object
    ) -> None:
        self._home = home
        self._sock = sock
        self._receiver = receiver
        self._sender = sender
        self._handler = home.handler_class(home.context, peer, sender.write_through)
        self._context: Context | None = None
        self._request: Request | None = None
        self._ours: StaticFiles | None = None  # serves the present request instead of the application
        self._arrived = 0.0  # since when the present request waits for its turn, monotonic seconds
        self._extension_ns = 0  # see `Seat.suspend`
        self._began_ns = 0  # when a request whose response has been suspended had its turn, see `Seat.finish`
        self.response: Response | None = None
        """The present one; None before it begins, and once it was given up."""
        self.lost: OSError | None = None
        """Why the response cannot go on, for the step ABANDON."""
        self.broken: BaseException | None = None
        """What went wrong before the step PROCEED."""

    @property
    def client(self) -> str:
        """The peer's address, for logs."""
        # Not the handler's address_string: that may be code of a subclass.
        peer = self._handler.client_address
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def take(self, request: Request, first: bool, may_be_old: bool) -> bool:
        """The next request, complete. Loop thread. Returns whether the loop shall run it itself: it needs no application.

        `first`: of its connection. `may_be_old`: it may have come before the loop last looked for something from this client."""
        home = self._home
        self._request = request
        if home.static is not None:
            self._ours = home.static if home.static.serves(request.environ["PATH_INFO"]) else None
        loop = home.loop
        if may_be_old or loop.behind_s >= WORTH_ASKING_S or (first and home.asks_newcomers):
            self._arrived = arrived_s(self._sock, loop)
            if first:
                # The queue of a listener is first come, first served: those behind this one have waited less.
                home.backlog = self._arrived < loop.now
        else:
            self._arrived = loop.now
        return self._ours is not None

    def perform(self, step: Step) -> Outcome:
        """Runs the application as far as the socket takes its output.

        All steps of one request run in a context of its own (contextvars): while its response waits for the client, this thread
        serves others, and another thread may go on with it. Without that, frameworks would see each other's requests.
        """
        context = self._context
        if context is None:
            self._context = context = copy_context()
        return context.run(self._perform, step)

    def _perform(self, step: Step) -> Outcome:
        handler, sender = self._handler, self._sender
        seat = here.seat
        dropped: OSError | None = None
        response = self.response
        try:
            began_ns = 0
            if step is RESPOND:
                self.response = response = self._respond(seat)
            elif step is not PROCEED:
                began_ns = self._began_ns
                seat.begin(handler.request_line(), handler.address_string(), 0.0, self._extension_ns)
            try:
                if self.broken is not None:
                    broken, self.broken = self.broken, None
                    raise broken
                assert response is not None
                if step is ABANDON:
                    dropped, self.lost = self.lost, None
                elif not sender.pump(response, handler.pull, seat):
                    self._extension_ns = seat.suspend()
                    if not began_ns:
                        self._began_ns = seat.began_ns
                    return WAITING
            except OSError as error:
                dropped = error
            assert response is not None
            claim = sender.claim
            if claim is not None and not claim.end():
                return self._drop(response, seat)
            if dropped is not None and not isinstance(dropped, ConnectionError):
                # A file or our disk, not the client.
                response.problem = f"the response cannot be sent: {dropped}"
            handler.end(response, dropped)
            seat.finish(response.status, response.body_bytes, handler.bytes_in, began_ns)
        except BaseException as error:  # noqa: BLE001 - of a handler's subclass, or ours: it ends this connection, not the worker
            self.report(error)
            if response is not None:
                response.close_quietly()
            self.response = response = None
            seat.finish(500, 0)
            claim = sender.claim
            if claim is not None and not claim.end():
                return TAKEN_OVER
        if handler.failures:
            seat.count_exceptions(handler.failures)
            handler.failures = 0
        if response is None or dropped is not None:
            sender.clear()
            return GIVEN_UP
        return COMPLETE

    def _drop(self, response: Response, seat: Seat) -> Outcome:
        """The loop has answered meanwhile: nobody hears what the application says."""
        handler = self._handler
        handler.end_unheard(response)
        seat.finish(OVERDUE, 0)
        seat.count_exceptions(handler.failures)
        return TAKEN_OVER

    def raised(self, error: BaseException) -> None:
        """The application, called by somebody else (`fastpath`), has raised. In the context of the request."""
        response = self.response
        assert response is not None
        if isinstance(error, RequestTimeout):
            leave_out_handler(error)
        self._handler.raised(response, error)

    def forget(self) -> None:
        """Loop thread: the thread has come back, and found the connection taken over."""
        response, self.response = self.response, None
        if response is not None:
            self._handler.let_go(response)

    def answer_instead(self) -> bytes:
        """What is sent in the place of a thread that does not come back. Loop thread, which has taken over."""
        request = self._handler.request
        head_only = request is not None and request.head.method == "HEAD"
        answer = short_answer(OVERDUE, date_and_server=self._home.context.stamp.both, head_only=head_only)
        self._handler.answered_instead(OVERDUE, 0 if head_only else len(answer.partition(b"\r\n\r\n")[2]))
        return answer

    def _respond(self, seat: Seat) -> Response:
        request = self._request
        assert request is not None
        self._request = None
        handler, home = self._handler, self._home
        handler.queued_ns = seat.begin(request.head.line, request.environ["REMOTE_ADDR"], self._arrived)
        claim = self._sender.claim
        if claim is not None and home.on_claim is not None:
            handler.begin(request)  # who takes over has to find it there
            home.on_claim(seat.number, claim)
        shedding = home.shedding
        if request.begun is not None:
            request.body = self._streamed(request.begun)
        if shedding is not None and self._ours is None and shedding.is_late(self._arrived):
            seat.count_shed()
            return handler.turn_away(request, home.keep_alive, shedding.retry_after_s)
        return handler.respond(request, home.keep_alive, self._ours)

    def _streamed(self, begun: bytes) -> StreamedBody:
        sock, times, claim = self._sock, self._home.times, self._sender.claim
        body = IncomingBody(
            self._receiver,
            sock.fileno(),
            sock.recv if claim is None else partial(claim.use, sock.recv),
            self._sender.write_through,
            self._handler.response_begun,
            times.body_s,
            times.s_per_byte,
        )
        return StreamedBody(begun, body.receive, body.unread)

    def leave(self, outcome: Outcome) -> CallsAfter | None:
        """The exchange is over: forgets what belongs to it; returns what it left to be done (`prefork.after_response`)."""
        context, self._context = self._context, None
        response = self.response
        if outcome is GIVEN_UP:
            self.response = None
        if response is None or response.later is None:
            return None
        assert context is not None
        return CallsAfter(response, context.run, self._home.context.log)

    def report(self, error: BaseException) -> None:
        """An error that nobody foresaw. Any thread."""
        escaped = self._home.context.escaped
        if escaped is not None and escaped(error):
            return
        trace = "".join(traceback.format_exception(error))
        log = self._home.context.log
        log.error(
            "internal_error", error=type(error).__name__, client=self.client, traceback=trace, exception=error
        )
