"""`make_server`: a server object for a development machine or a test suite, with the interface of Werkzeug's.

Owns: the object's life: listening from its making, serving, stopping from any thread, closing. Runs in: the developer's process,
any thread. Must not know: how requests are served (`engine`), reloader, debugger, command line.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prefork.dev.address import listen
from prefork.dev.engine import Engine, Serving
from prefork.dev.log import DevLog, dev_logger
from prefork.dev.processes import Processes
from prefork.wsgi.announce import server_header, server_software
from prefork.wsgi.context import WSGIApplication
from prefork.wsgi.handler import WSGIRequestHandler

if TYPE_CHECKING:
    import ssl

THREADS = 256
"""Requests at a time of a `threaded` server; each has a thread, made when it is needed."""


class WSGIServer:
    """A server that listens already. `serve_forever` serves, once; `shutdown` ends that from another thread."""

    def __init__(
        self,
        host: str,
        port: int,
        app: WSGIApplication,
        threads: int = 1,
        processes: int = 1,
        handler: type[WSGIRequestHandler] | None = None,
        passthrough_errors: bool = False,
        ssl_context: ssl.SSLContext | tuple[str, str | None] | str | None = None,
        fd: int | None = None,
    ) -> None:
        """See `make_server`."""
        self.RequestHandlerClass = _checked(handler or WSGIRequestHandler)
        self.app = app
        self.passthrough_errors = passthrough_errors
        self.timeout: float | None = None
        """How long `handle_request` waits for a client, in seconds; None: for ever."""
        self.ssl_context: ssl.SSLContext | None = None
        if ssl_context is not None:
            from prefork.dev.adhoc import tls_context

            self.ssl_context = tls_context(ssl_context, host)
        self._threads = threads
        self._processes = processes
        self._log = DevLog(dev_logger())
        self._listening = listen(host, int(port), fd)
        self.socket: socket.socket = self._listening.sock
        """The listening socket. Never wrapped: connections speak TLS, it does not."""
        self.address_family = self.socket.family
        self.server_address: Any = self._listening.path or self.socket.getsockname()
        """What it is bound to: (host, port, ...) or the path of a unix socket."""
        self._lock = threading.RLock()  # a signal handler may call `shutdown` in the middle of it
        self._stopped = False
        self._thread = 0  # that serves
        self._running: Engine | Processes | None = None
        self._ended = threading.Event()
        self._ended.set()

    # What it is ---------------------------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """As it was given."""
        return self._listening.host

    @property
    def port(self) -> int:
        """The real one, where 0 was given; for a unix socket what was given."""
        return self._listening.port

    @property
    def server_port(self) -> int:
        """`port`."""
        return self._listening.port

    @property
    def server_name(self) -> str:
        """The address as text; "localhost" for a unix socket."""
        return "localhost" if self._listening.path else str(self.server_address[0])

    @property
    def multithread(self) -> bool:
        """Several threads run the application at a time."""
        return self._threads > 1

    @property
    def multiprocess(self) -> bool:
        """Several processes do."""
        return self._processes > 1

    def fileno(self) -> int:
        """Of the listening socket; -1 when it is closed."""
        return self.socket.fileno()

    def get_app(self) -> WSGIApplication:
        """`app`, as wsgiref's servers say it."""
        return self.app

    def set_app(self, app: WSGIApplication) -> None:
        """Serves this one from now on."""
        self.app = app

    def log(self, type: str, message: str, *args: Any) -> None:
        """A line of the server's log; `type` is "debug", "info", "warning" or "error"."""
        getattr(dev_logger(), type)(message.rstrip(), *args)

    # Serving ------------------------------------------------------------------------------------------------------

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Serves until `shutdown` or Ctrl-C, then closes; at once if `shutdown` was called before.

        With `processes`, one that died is replaced within `poll_interval` seconds; else nothing is polled. Raises RuntimeError if
        it serves already, and what the application raised if errors pass through (`make_server`).
        """
        self._begin()
        try:
            if self._stopped:
                return
            if self._processes > 1:
                pool = Processes(self._processes, self._serve_in_process, self._log)
                self._serve(pool, lambda: pool.run(poll_interval))
            else:
                engine = Engine(self._serving())
                self._serve(engine, engine.run)
        except KeyboardInterrupt:
            pass
        finally:
            self._end()
            self.server_close()

    def handle_request(self) -> None:
        """Serves one connection, one request, in this thread (or one of its own, if `threaded`); in this process, whatever
        `processes` is. Without a client within `timeout` seconds, calls `handle_timeout`."""
        self._begin()
        came = True
        try:
            if self._stopped:
                return
            engine = Engine(self._serving())

            def one() -> None:
                nonlocal came
                came = engine.run_one(self.timeout)

            self._serve(engine, one)
        finally:
            self._end()
        if not came:
            self.handle_timeout()

    def handle_timeout(self) -> None:
        """Nobody came in time. By default nothing is done."""

    def _begin(self) -> None:
        with self._lock:
            if self._thread:
                raise RuntimeError(f"the server on port {self.port} serves already")
            self._thread = threading.get_ident()
            self._ended.clear()

    def _end(self) -> None:
        with self._lock:
            self._thread = 0
            self._ended.set()

    def _serve(self, running: Engine | Processes, run: Callable[[], object]) -> None:
        try:
            with self._lock:
                if self._stopped:
                    return
                self._running = running
            run()
        finally:
            with self._lock:
                self._running = None
            running.close()

    def _serve_in_process(self, ended_fd: int, baton_fd: int) -> None:
        self._ended.set()  # in this process nobody can wait for the parent
        engine = Engine(self._serving(), baton_fd)
        engine.watch_for_end(ended_fd)
        engine.run()

    def _serving(self) -> Serving:
        return Serving(
            app=self._call,
            sock=self.socket,
            handler_class=self.RequestHandlerClass,
            log=self._log,
            threads=self._threads,
            multiprocess=self.multiprocess,
            leaves_backlog=self._listening.inherited,
            passthrough_errors=self.passthrough_errors,
            tls=self.ssl_context,
        )

    def _call(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Whatever `app` is by now: test suites change it.
        return self.app(environ, start_response)

    # The end --------------------------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Ends `serve_forever` once the requests that run, and those that wait in the backlog, are answered; after a second in
        any case, if they have threads of their own.

        Waits for that, except when a request of this server calls it. From any thread, as often as one likes, also before
        `serve_forever`, which then returns at once.
        """
        self.end_within(None)

    def end_within(self, timeout_s: float | None) -> bool:
        """`shutdown`, waiting for so long at most. False: a request still runs."""
        with self._lock:
            self._stopped = True
            running, here = self._running, threading.get_ident()
            inside = here == self._thread
            if running is not None:
                running.stop()
                inside = inside or (isinstance(running, Engine) and running.has_thread(here))
        return inside or self._ended.wait(timeout_s)

    def server_close(self) -> None:
        """No longer listens, and removes the socket file if it is a unix socket. Ends `serve_forever` too, if that runs."""
        self.shutdown()
        self._listening.close()

    def __enter__(self) -> WSGIServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server_close()


def make_server(
    host: str,
    port: int,
    app: WSGIApplication,
    threaded: bool = False,
    processes: int = 1,
    request_handler: type[WSGIRequestHandler] | None = None,
    passthrough_errors: bool = False,
    ssl_context: ssl.SSLContext | tuple[str, str | None] | str | None = None,
    fd: int | None = None,
) -> WSGIServer:
    """A server for `app` that listens already, with the parameters of `werkzeug.serving.make_server`.

    `host` is a name, an address or `unix://PATH`; `port` 0 stands for any free one. `threaded`: each request that runs has a
    thread of its own. `processes`: so many serve, forked from this one when `serve_forever` begins. `passthrough_errors`: what
    the application raises ends the server, and `serve_forever` raises it. `ssl_context`: a context, (certificate file, key file)
    or "adhoc". `fd`: a listening socket to take a copy of, instead of binding one.

    Raises ListenError, ValueError and TypeError for arguments that do not fit, CertificateError (`prefork.dev.adhoc`), BootError
    for a handler that calls the server something that cannot be sent.
    """
    if threaded and processes > 1:
        raise ValueError("threaded=True and processes > 1: choose one of them")
    if processes < 1:
        raise ValueError(f"processes={processes}: it must be at least 1")
    return WSGIServer(
        host,
        port,
        app,
        THREADS if threaded else 1,
        processes,
        request_handler,
        passthrough_errors,
        ssl_context,
        fd,
    )


def _checked(handler: Any) -> type[WSGIRequestHandler]:
    if not (isinstance(handler, type) and issubclass(handler, WSGIRequestHandler)):
        raise TypeError(
            f"request_handler is {handler!r}: it must be a subclass of prefork.WSGIRequestHandler"
        )
    server_software(handler)
    server_header(handler, "", "")
    return handler
