"""One event loop of a development server, with everything that serves on it.

Owns: putting together the parts that a worker of the daemon is made of, their end, and giving everything back. Runs in: the
developer's process, the thread that serves; `stop` in any. Must not know: where the listener comes from, signals.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from prefork.dev.log import DevLog
from prefork.dev.stderr import ErrorOutput
from prefork.http.limits import Limits
from prefork.net.trust import TrustedPeers
from prefork.settings.model import RequestSettings, ServerSettings
from prefork.worker.acceptor import Acceptor, Door
from prefork.worker.connections import Connections, TimeLimits
from prefork.worker.executors import GrowingExecutor, InlineExecutor
from prefork.worker.loop import READ, EventLoop
from prefork.worker.pace import seconds_per_byte
from prefork.worker.reception import Reception
from prefork.worker.stamp import HeaderStamp
from prefork.worker.timers import NEVER
from prefork.wsgi.announce import server_header, server_software
from prefork.wsgi.context import ServerContext, WSGIApplication
from prefork.wsgi.environ import UNIX_HOST, server_environ
from prefork.wsgi.handler import WSGIRequestHandler

if TYPE_CHECKING:
    import ssl

GRACE_S = 1.0
"""How long running requests may go on when the server stops."""

MOMENT_S = 0.1
"""How long requests that have begun to arrive are waited for then: the time of a handshake, not of an upload."""

CONNECTIONS = 1000
"""Open at a time, at most."""


class Serving(msgspec.Struct, frozen=True):
    """What is served, and how."""

    app: WSGIApplication
    sock: socket.socket
    handler_class: type[WSGIRequestHandler]
    log: DevLog
    threads: int = 1
    """At a time, at most; 1: requests run in the thread that serves."""
    leaves_backlog: bool = False
    """Whoever waits at the end is for somebody else, who has the socket too."""
    multiprocess: bool = False
    passthrough_errors: bool = False
    tls: ssl.SSLContext | None = None


class Engine:
    """Serves until it is stopped. `close` gives everything back."""

    def __init__(self, serving: Serving, baton_fd: int | None = None) -> None:
        """`baton_fd`: an eventfd of all processes that share the listener (see `worker.acceptor`). Raises BootError."""
        self._serving = serving
        requests = RequestSettings()
        times = TimeLimits(
            header_s=requests.header_timeout,
            body_s=requests.body_timeout,
            write_s=requests.write_timeout,
            keepalive_s=requests.keepalive_timeout,
            s_per_byte=seconds_per_byte(requests.min_rate),
        )
        default = ServerSettings().server_header
        self._stamp = HeaderStamp(server_header(serving.handler_class, default, default), time.time())
        context = self._context(server_software(serving.handler_class))
        self._loop = EventLoop(time.monotonic, recheck_s=min(times.keepalive_s, times.write_s))
        self._connections = Connections(
            self._loop, time.monotonic, context, serving.handler_class, _limits(requests), times, CONNECTIONS
        )
        self._executor: InlineExecutor | GrowingExecutor
        if serving.threads > 1:
            self._executor = GrowingExecutor(
                serving.threads, self._loop.post, lambda: self._acceptor.resume()
            )
            tell_when_free = self._executor.tell_when_free
        else:
            self._executor = InlineExecutor()
            tell_when_free = _never
        self._connections.executor = self._executor
        self._fd = serving.sock.fileno()
        self._acceptor = Acceptor(
            self._loop,
            [Door(serving.sock, self._reception(context).receive)],
            self._connections,
            self._executor,
            tell_when_free,
            serving.log,
            baton_fd,
        )
        self._ending = False
        self._only_one = False
        self._timed_out = False
        self._in_a_moment = False
        self._stuck = False  # requests still run, and are not waited for
        self._error: BaseException | None = None
        self.deadline = NEVER
        self.bucket: float = 0

    def _context(self, software: str) -> ServerContext:
        serving = self._serving
        return ServerContext(
            app=serving.app,
            stamp=self._stamp,
            log=serving.log,
            access=serving.log.access,
            errors=ErrorOutput(),
            server_software=software,
            multithread=serving.threads > 1,
            multiprocess=serving.multiprocess,
            app_name=_name_of(serving.app),
            escaped=self._take_escaped,
        )

    def _reception(self, context: ServerContext) -> Reception:
        serving = self._serving
        scheme, port = ("http", "80") if serving.tls is None else ("https", "443")
        host = UNIX_HOST
        if serving.sock.family != socket.AF_UNIX:
            host, port = serving.sock.getsockname()[:2]
        environ = server_environ(context, host, str(port), scheme)
        return Reception(self._connections, environ, serving.tls, "off", TrustedPeers(()), "off")

    # Serving: the thread that serves -----------------------------------------------------------------------------

    def run(self) -> None:
        """Serves until `stop`. Raises what the application raised, if that is to end the server."""
        self._acceptor.resume()
        self._turn()

    def run_one(self, timeout_s: float | None) -> bool:
        """Serves one connection, one request. False: nobody came within `timeout_s` (None: however long it takes)."""
        self._only_one = True
        self._connections.end_after_response()
        if timeout_s is not None:
            self.deadline = time.monotonic() + timeout_s
            self._loop.watch_exactly(self)
        self.run()
        return not self._timed_out

    def _turn(self) -> None:
        try:
            self._loop.run(self._on_turn, on_wake=lambda: self._stamp.refresh(time.time()))
        except BaseException:  # Ctrl-C
            self._stuck = not self._executor.idle
            raise
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def watch_for_end(self, fd: int) -> None:
        """Stops once `fd` is readable: data, or its end."""
        self._loop.add(fd, READ, lambda _events: self._begin_end())

    def _on_turn(self) -> None:
        connections = self._connections
        self._acceptor.yield_when_saturated()
        if self._ending:
            in_a_moment = self._in_a_moment and connections.receiving
            if self._executor.idle and not connections.answering and not in_a_moment:
                self._loop.stop()
        elif self._only_one and (connections.opened or len(connections)):
            self._see_to_the_only_one()

    def _see_to_the_only_one(self) -> None:
        connections = self._connections
        self._acceptor.leave()
        self._loop.forget(self)
        self.deadline = NEVER
        if connections.requests and self._executor.idle and not connections.answering:
            # It has what it asked for, and nothing more to say: no need to wait until it closes.
            connections.close_idle()
        if not len(connections):
            self._loop.stop()

    def expire(self) -> None:
        """The grace is over, or nobody came."""
        if not self._ending:
            self._timed_out = True
        elif self._in_a_moment:
            self._in_a_moment = False
            self.deadline = time.monotonic() + GRACE_S
            self._loop.watch_exactly(self)
            return
        else:
            self._stuck = not self._executor.idle
            self._connections.give_up(ConnectionAbortedError("the server stops"))
        self._loop.stop()

    # The end -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Answers what runs and what waits in the backlog, within GRACE_S, then ends `run`. Any thread, before `close`."""
        self._loop.post(self._begin_end)

    def _begin_end(self) -> None:
        if not self._ending:
            self._ending = self._in_a_moment = True
            if not self._serving.leaves_backlog:
                self._acceptor.take_backlog([self._fd])
            self._connections.drain()
            self._acceptor.leave()
            self.deadline = time.monotonic() + MOMENT_S
            self._loop.watch_exactly(self)

    def has_thread(self, thread: int) -> bool:
        """`thread` is one of those that run requests beside the thread that serves."""
        return isinstance(self._executor, GrowingExecutor) and self._executor.has(thread)

    def _take_escaped(self, error: BaseException) -> bool:
        """What the application raised ends the server: Ctrl-C and sys.exit() in the thread that serves, anything at all if errors
        pass through. The client still gets its 500."""
        inline = isinstance(self._executor, InlineExecutor)
        if not (
            self._serving.passthrough_errors or (inline and isinstance(error, KeyboardInterrupt | SystemExit))
        ):
            return False
        if self._error is None:
            self._error = error
        self.stop()
        return True

    def close(self) -> None:
        """After `run`: gives everything back. Where a request does not end, the loop stays until it does: its thread may call."""
        executor = self._executor
        executor.close()
        if isinstance(executor, GrowingExecutor) and not executor.join(0.0 if self._stuck else GRACE_S):
            threading.Thread(target=self._close_late, name="prefork-late", daemon=True).start()
        else:
            self._close_now()

    def _close_late(self) -> None:
        assert isinstance(self._executor, GrowingExecutor)
        while not self._executor.join(3600):
            pass
        self._close_now()

    def _close_now(self) -> None:
        self._connections.close_all()
        self._loop.close()


def _limits(requests: RequestSettings) -> Limits:
    return Limits(
        max_request_line=requests.max_request_line,
        max_header_bytes=requests.max_header_bytes,
        max_headers=requests.max_headers,
        max_body=requests.max_body,
        body_memory=requests.body_memory,
    )


def _name_of(app: object) -> str:
    return str(getattr(app, "__qualname__", "") or type(app).__qualname__)


def _never() -> None:
    raise AssertionError("an inline executor is never saturated")
