"""`prefork.after_response`: work that a request leaves behind, done when its client has the response.

Owns: which response the code that runs belongs to, and what is to be done after it. Runs in the worker, in the thread that has
the request. Must not know: sockets, threads.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

from prefork.wsgi.context import EventLog
from prefork.wsgi.failures import application_traceback, in_words
from prefork.wsgi.response import Response

current: ContextVar[Response] = ContextVar("prefork.response")
"""The response to the request that is being served in this context."""


def after_response(function: Callable[[], object]) -> None:
    """Calls `function` once the response to the present request is out, or its client has gone.

    It runs in the thread of the request, in its context, after close() of the response; several run in order. The client does
    not wait for it, but the thread does, and with `threads = 1` the whole worker: for short work (a mail, a metric). A worker
    that is told to leave finishes it first. What it raises is logged. Raises RuntimeError outside of a request.
    """
    response = current.get(None)
    if response is None or response.ended:
        raise RuntimeError("after_response() must be called while a request is served")
    if response.later is None:
        response.later = []
    response.later.append(function)


class CallsAfter:
    """The calls that one request left behind. An executor runs them."""

    def __init__(
        self,
        response: Response,
        run_in: Callable[[Callable[[], object]], object],
        log: EventLog,
    ) -> None:
        """`run_in` calls a function in the context of the request."""
        self._functions = response.later or []
        self.line = response.line
        self._run_in = run_in
        self._log = log
        self.at_rest = False
        """Whether the connection rests again; see `worker.executors`."""

    def run(self) -> None:
        """Runs them; never raises."""
        for function in self._functions:
            try:
                self._run_in(function)
            except BaseException as error:  # noqa: BLE001 - application code
                self._log.error(
                    "after_response_failed",
                    request=self.line,
                    error=in_words(error),
                    traceback=application_traceback(error),
                    exception=error,
                )
