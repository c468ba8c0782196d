"""Interrupting one request, and nothing but that request.

The master decides that a request has taken too long, writes its number into the seat of its thread and sends INTERRUPT_SIGNAL.
Here RequestTimeout is raised in that thread, while it is inside the application, or not at all: a thread opens its *gate* when it
enters the application and shuts it when it comes back. In the main thread the signal's handler raises by itself
(system calls, lock waits and sleeps end with EINTR). In a pool thread an asynchronous exception is set, which arrives with
the next byte code: code in C that waits or computes is not interrupted. For that there is `takeover`, and then `kill_after`.

Owns: the gates, and the hand-shake that keeps an interruption from landing in prefork's own code or in the next request. Runs
in the worker. Must not know: limits, the scoreboard's layout, HTTP.
"""

from __future__ import annotations

import ctypes
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import get_ident
from types import FrameType
from typing import Any, TypeVar

from prefork.errors import RequestTimeout
from prefork.ipc.boot import INTERRUPT_SIGNAL
from prefork.ipc.seat import Seat
from prefork.worker.takeover import Claim, Takeovers
from prefork.wsgi.context import WSGIApplication
from prefork.wsgi.filewrapper import FileWrapper

_Result = TypeVar("_Result")

_OURS = tuple(f"{__package__.split('.')[0]}.{room}." for room in ("worker", "wsgi", "http", "ipc", "observe"))

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = [ctypes.c_ulong, ctypes.py_object]
_clear_async_exc = ctypes.PyDLL(None).PyThreadState_SetAsyncExc
_clear_async_exc.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
"""The same function with NULL for an exception (another library object, for it keeps its argument types)."""


class MainGate:
    """The gate of the main thread when that runs the application (`threads = 1`)."""

    __slots__ = ("_due", "_fired", "_seat", "inside")

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._due = 0
        self._fired = 0
        self.inside = False

    def enter(self) -> None:
        """From here on the request may be interrupted. Raises RequestTimeout if that is overdue."""
        self.inside = True
        self._catch_up()

    def leave(self) -> None:
        """From here on it may not."""
        self.inside = False

    def on_signal(self, frame: FrameType | None) -> None:
        """In the handler: raises RequestTimeout in the frame that was interrupted, if that is the one it is meant for."""
        number = self._seat.wanted
        self._due = number
        if not self.inside or self._seat.number != number or self._fired == number:
            return
        if frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_OURS):
            # The application has called us back, or another handler of ours runs: the master asks again, in a second.
            return
        self._fired = number
        raise RequestTimeout

    def _catch_up(self) -> None:
        number = self._seat.number
        if self._due == number and self._fired != number:
            self._fired = number
            raise RequestTimeout


class ThreadGate:
    """The gate of a pool thread. `interrupt` is called by the loop thread, everything else by the thread itself.

    There is no lock: an exception may arrive between any two byte codes, also between taking a lock and the `try` that gives
    it back. Two flags do it (Dekker's algorithm; byte codes of threads with a GIL are sequentially consistent): the thread
    first shuts the gate and then looks whether the loop is at it; the loop first says that it is, then looks at the gate.
    """

    __slots__ = ("_at_it", "_due", "_fired", "_seat", "_thread", "claim", "inside")

    def __init__(self, seat: Seat, thread: int) -> None:
        self._seat = seat
        self._thread = thread
        self._due = 0
        self._fired = 0
        self._at_it = False
        self.inside = False
        self.claim: tuple[int, Claim] | None = None
        """Of the step with this number: who may answer."""

    def enter(self) -> None:
        """From here on the request may be interrupted. Raises RequestTimeout if that is overdue."""
        self.inside = True
        number = self._seat.number
        if self._due == number and self._fired != number:
            self._fired = number
            raise RequestTimeout

    def leave(self) -> None:
        """From here on it may not, and nothing is pending. Until it returns, RequestTimeout may come out of it; once."""
        self.inside = False
        while self._at_it:
            time.sleep(0.0001)
        if self._fired == self._seat.number:
            _clear_async_exc(self._thread, None)

    def interrupt(self) -> Claim | None:
        """Loop thread: if the thread runs the step that the master wants interrupted, raise RequestTimeout there.

        Returns the claim of that step, if it has one."""
        number = self._seat.wanted
        self._due = number
        self._at_it = True
        if self.inside and self._seat.number == number and self._fired != number:
            self._fired = number
            _set_async_exc(self._thread, RequestTimeout)
        self._at_it = False
        step = self.claim
        return step[1] if step is not None and step[0] == number else None


Gate = MainGate | ThreadGate


class Interruptions:
    """The gates of one worker."""

    def __init__(self) -> None:
        self._gates: dict[int, Gate] = {}

    def add_main(self, seat: Seat) -> None:
        """The calling thread runs the application, and is the one that handlers of signals run in."""
        gate = MainGate(seat)
        self._gates[get_ident()] = gate

        def handle(_number: int, frame: FrameType | None) -> None:
            gate.on_signal(frame)

        signal.signal(INTERRUPT_SIGNAL, handle)

    def add_thread(self, seat: Seat) -> None:
        """The calling thread is one of a pool that runs the application."""
        self._gates[get_ident()] = ThreadGate(seat, get_ident())

    def listen_for_threads(self, post: Callable[[Callable[[], None]], None], takeovers: Takeovers) -> None:
        """The calling thread is the loop's: it takes the signal for the pool. `post` has it act between two callbacks;
        `takeovers` has those that do not come back."""

        def act() -> None:
            self._interrupt_threads(takeovers)

        def handle(_number: int, _frame: FrameType | None) -> None:
            post(act)

        signal.signal(INTERRUPT_SIGNAL, handle)

    def _interrupt_threads(self, takeovers: Takeovers) -> None:
        for gate in list(self._gates.values()):
            if isinstance(gate, ThreadGate):
                claim = gate.interrupt()
                if claim is not None:
                    takeovers.expect(claim)

    def began(self, number: int, claim: Claim) -> None:
        """The calling thread begins the step with this number on its seat; whoever has `claim` may use the socket."""
        gate = self._gates.get(get_ident())
        if isinstance(gate, ThreadGate):
            gate.claim = (number, claim)

    def watched(self, application: WSGIApplication) -> Watched:
        """`application`, with the gate open while a thread is inside it: its call, its iteration, its close()."""
        return Watched(application, self._gates)


_PASSIVE = frozenset({list, tuple, FileWrapper})
"""What needs no code of the application's to be iterated is left as it is; responses know these types."""


class Watched:
    """An application whose requests can be interrupted. Any thread."""

    __slots__ = ("_gates", "application")

    def __init__(self, application: WSGIApplication, gates: Mapping[int, Gate]) -> None:
        self.application = application
        self._gates = gates

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        gate = self._gates.get(get_ident())
        return self.wrapped(_through(gate, self.application, environ, start_response))

    def wrapped(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """What the application has returned, so that its iteration can be interrupted too."""
        return body if type(body) in _PASSIVE else _WatchedBody(body, self._gates)

    @property
    def gate(self) -> Gate | None:
        """The gate of the calling thread."""
        return self._gates.get(get_ident())


class _WatchedBody:
    """An iterable of the application's. Any thread of the pool may go on with it."""

    __slots__ = ("_body", "_gates", "_next")

    def __init__(self, body: Iterable[bytes], gates: Mapping[int, Gate]) -> None:
        self._body = body
        self._gates = gates
        self._next: Callable[[], bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._next = _through(self._gates.get(get_ident()), iter, self._body).__next__
        return self

    def __next__(self) -> bytes:
        assert self._next is not None, "iter() comes first"
        return _through(self._gates.get(get_ident()), self._next)

    def close(self) -> None:
        """PEP 3333: of the application's iterable, if that has one."""
        close = getattr(self._body, "close", None)
        if close is not None:
            _through(self._gates.get(get_ident()), close)


def _through(gate: Gate | None, function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Calls `function` with the gate open.

    An interruption that comes too late, when the function has returned or raised, changes nothing any more; it is caught here and
    not by whoever called us. It can come once. Without a gate nobody is interrupted.
    """
    if gate is None:
        return function(*arguments)
    error: BaseException | None = None
    results: list[_Result] = []
    try:
        try:
            gate.enter()
            results.append(function(*arguments))
        except BaseException as raised:  # noqa: BLE001 - raised again below, when the gate is shut
            error = raised
        gate.leave()
    except RequestTimeout as late:
        gate.leave()
        if error is None and not results:
            error = late
    if error is None:
        return results[0]
    if isinstance(error, RequestTimeout):
        leave_out_handler(error)
    try:
        raise error
    finally:
        error = None  # no reference cycle through the traceback


def leave_out_handler(error: RequestTimeout) -> None:
    """The frames of the signal's handler, at the end of its traceback, say nothing about the application."""
    last = step = error.__traceback__
    while step is not None:
        if not str(step.tb_frame.f_globals.get("__name__", "")).startswith(_OURS):
            last = step
        step = step.tb_next
    if last is not None:
        last.tb_next = None
