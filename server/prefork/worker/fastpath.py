"""The ordinary request in one piece, where a compiled twin of that is there.

Owns: whether it may be used, and what it is made of. Runs in the worker, once, when everything else is ready. Must not know: what
an ordinary request is; that, and every other request, is `Connection`'s and `Exchange`'s.

`_fastpath.c` goes through the steps of `Connection.read`, `Exchange.perform` and `WSGIRequestHandler.respond` without coming back
to Python in between, but for the application; with a pool of threads in two pieces, one for the loop and one for the thread. It
stands for exactly these methods: a handler class that overrides one of them, and load shedding, do without it.
"""

from __future__ import annotations

import io
import socket
import time

import msgspec

from prefork.http.head import parse_head
from prefork.http.receiver import Expects, Request, RequestReceiver
from prefork.http.request_line import RequestHead
from prefork.http.response import ResponseHead, build_head
from prefork.ipc.seat import Seat, SeatInPython
from prefork.net.tcp_info import LAST_DATA_RECV_AT
from prefork.speedups import fastpath
from prefork.worker.arrival import TICK_S, WORTH_ASKING_S
from prefork.worker.connection import Connection, Phase
from prefork.worker.connections import Connections
from prefork.worker.exchange import Exchange, Outcome
from prefork.worker.executors import InlineExecutor, Step
from prefork.worker.interruption import MainGate, Watched
from prefork.worker.loop import READ, EventLoop
from prefork.worker.outbox import Outbox
from prefork.worker.sender import Sender
from prefork.worker.stamp import HeaderStamp
from prefork.worker.timers import NEVER, DeadlineWheel
from prefork.wsgi.after import current
from prefork.wsgi.handler import WSGIRequestHandler
from prefork.wsgi.input import SpooledBody
from prefork.wsgi.response import GATHER_BYTES, LAST_LINES, Response

_CLASSES: dict[str, type] = {
    "connection": Connection,
    "exchange": Exchange,
    "sender": Sender,
    "outbox": Outbox,
    "receiver": RequestReceiver,
    "request": Request,
    "request_head": RequestHead,
    "response": Response,
    "response_head": ResponseHead,
    "stamp": HeaderStamp,
    "gate": MainGate,
    "handler": WSGIRequestHandler,
    "home": Connections,
    "loop": EventLoop,
    "wheel": DeadlineWheel,
}
"""Where the fields are that it reads and writes."""

_REPLACED = (
    *("respond", "raised", "run_wsgi", "make_environ", "pull", "end", "log_end", "let_go", "begin"),
    *WSGIRequestHandler.__slots__,
)
"""Methods of the handler that it stands for, and fields that it writes. (`log_request` it calls, if it is another.)"""


class Parts(msgspec.Struct):
    """What it works with. The names are those of `_fastpath.c`."""

    home: Connections
    context: object
    loop: EventLoop
    epoll_fd: int
    executor: object
    static: object
    seat: Seat
    application: object
    watched: Watched | None
    gate: MainGate | None
    pool: bool
    """Threads run the application, not the loop."""
    stamp: object
    limits: object
    most_in_memory: int
    """Bytes of a body that is neither refused nor stored anywhere else."""
    has_own_log: bool
    """`log_request` is a subclass's."""
    access: object
    """What takes the lines of the access log; None: nothing does, or `log_request` has the say."""
    keepalive_s: float
    header_s: float
    model: Connection
    """One as it is when it is new; those to come are copied from it."""
    handler_class: type[WSGIRequestHandler] | None
    """Called for each connection; None: copied, too."""
    parse_head: object = parse_head
    build_head: object = build_head
    request: object = Request
    response: object = Response
    body: object = SpooledBody
    current: object = current
    bytes_io: object = io.BytesIO
    socket: object = socket.socket
    never: float = NEVER
    worth_asking_s: float = WORTH_ASKING_S
    tick_s: float = TICK_S
    last_data_at: int = LAST_DATA_RECV_AT
    gather_bytes: int = GATHER_BYTES
    last_lines: bytes = LAST_LINES
    read: int = READ
    expects_idle: object = Expects.IDLE
    phase_fresh: object = Phase.FRESH
    phase_idle: object = Phase.IDLE
    phase_application: object = Phase.APPLICATION
    phase_closed: object = Phase.CLOSED
    proceed: object = Step.PROCEED
    respond: object = Step.RESPOND
    completed: object = Outcome.COMPLETE
    suspended: object = Outcome.WAITING


def use_fast_path(home: Connections, seat: Seat) -> None:
    """Has `home` read and answer ordinary requests that way, if it can. `seat`: of the calling thread, which is the loop's."""
    if fastpath is None or Seat is SeatInPython or home.shedding is not None:
        return
    if home.clock is not time.monotonic:  # it asks the kernel
        return
    if _overrides(home.handler_class, _REPLACED) or type(home.context.stamp) is not HeaderStamp:
        return
    pool = not isinstance(home.executor, InlineExecutor)
    context = home.context
    application = context.app
    # A pool's threads have gates of their own, which only Python opens and shuts.
    watched = application if isinstance(application, Watched) and not pool else None
    gate = None if watched is None else watched.gate
    if not (gate is None or isinstance(gate, MainGate)):
        return
    has_own_log = _overrides(home.handler_class, ["log_request"])
    parts = Parts(
        home=home,
        context=context,
        loop=home.loop,
        epoll_fd=home.loop.fileno(),
        executor=home.executor,
        static=home.static,
        seat=seat,
        application=application if watched is None else watched.application,
        watched=watched,
        gate=gate,
        pool=pool,
        stamp=context.stamp,
        limits=home.limits,
        most_in_memory=min(home.limits.body_memory, home.limits.max_body or home.limits.body_memory),
        has_own_log=has_own_log,
        access=None if has_own_log else context.access,
        keepalive_s=home.times.keepalive_s,
        header_s=home.times.header_s,
        model=_model(home),
        handler_class=None if home.handler_class is WSGIRequestHandler else home.handler_class,
    )
    made = fastpath.FastPath(parts, _CLASSES)
    home.fast_read, home.ear, home.connect, home.taker = made.read, made.ear, made.connect, made.taker
    if pool:
        home.fast_perform = made.perform


def _model(home: Connections) -> Connection:
    """A new connection, with a socket that leads nowhere, and a handler that is nobody's."""
    wanted, home.handler_class = home.handler_class, WSGIRequestHandler
    try:
        with socket.socket(socket.AF_UNIX) as nowhere:
            return Connection(home, nowhere, None, {})
    finally:
        home.handler_class = wanted


def _overrides(handler_class: type[WSGIRequestHandler], names: tuple[str, ...] | list[str]) -> bool:
    return any(getattr(handler_class, name) is not getattr(WSGIRequestHandler, name) for name in names)
