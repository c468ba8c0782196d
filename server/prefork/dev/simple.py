"""`run_simple`: serve an application while it is written, with reloader and debugger if wanted.

Owns: what Werkzeug's function of this name does, in its order: files, debugger, socket, words, reloader, signals. Runs in: the
developer's process, and again in each process that the reloader starts. Must not know: how any of them works.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from prefork.dev.log import DevLog, dev_logger
from prefork.dev.reloader import is_running_from_reloader, run_with_reloader
from prefork.dev.server import WSGIServer, make_server
from prefork.dev.sharedfiles import SharedFiles
from prefork.dev.startup import own_addresses, startup_lines
from prefork.errors import PreforkError
from prefork.wsgi.context import WSGIApplication
from prefork.wsgi.handler import WSGIRequestHandler

if TYPE_CHECKING:
    import ssl

LEAVE_S = 0.5
"""How long requests may go on in a process that the reloader is about to replace."""

SERVER_FD = "WERKZEUG_SERVER_FD"
"""Where a process that the reloader has started finds the socket; Werkzeug's name."""

ADHOC_FD = "PREFORK_ADHOC_FD"
"""And the certificate."""


def run_simple(
    hostname: str,
    port: int,
    application: WSGIApplication,
    use_reloader: bool = False,
    use_debugger: bool = False,
    use_evalex: bool = True,
    extra_files: Iterable[str] | None = None,
    exclude_patterns: Iterable[str] | None = None,
    reloader_interval: float = 1,
    reloader_type: str = "auto",
    threaded: bool = False,
    processes: int = 1,
    request_handler: type[WSGIRequestHandler] | None = None,
    static_files: Mapping[str, str | tuple[str, str]] | None = None,
    passthrough_errors: bool = False,
    ssl_context: ssl.SSLContext | tuple[str, str | None] | str | None = None,
) -> None:
    """Serves `application` until Ctrl-C or SIGTERM, with the parameters of `werkzeug.serving.run_simple`.

    `hostname`, `port`, `threaded`, `processes`, `request_handler`, `passthrough_errors` and `ssl_context` are those of
    `prefork.make_server`. `static_files`: prefix of paths -> directory, file, or (package, path in it). `use_reloader` starts the
    program again when its files change, `extra_files` among them, those that match `exclude_patterns` not; it looks every
    `reloader_interval` seconds if it has to look (`reloader_type`). The socket stays open meanwhile: clients wait. `use_debugger`
    shows tracebacks in the browser, with a console if `use_evalex`.

    Where it cannot listen, it says why and ends the program with exit code 1. Raises TypeError and ValueError for arguments that
    do not fit.
    """
    if not isinstance(port, int):
        raise TypeError(f"port is {port!r}: it must be an integer")
    log = DevLog(dev_logger())
    try:
        if static_files:
            application = SharedFiles(application, static_files, log)
        if use_debugger:
            from prefork.dev.debugger import wrap

            application = wrap(application, use_evalex, hosts=[hostname])
        listeners: list[int] = []
        if ssl_context == "adhoc" and use_reloader:
            ssl_context = _lasting_certificate(hostname, listeners)
        fd = os.environ.get(SERVER_FD) if is_running_from_reloader() else None
        server = make_server(
            hostname,
            port,
            application,
            threaded,
            processes,
            request_handler,
            passthrough_errors,
            ssl_context,
            fd=None if fd is None else int(fd),
        )
    except PreforkError as error:
        log.info("handler", client="prefork", message=str(error))
        sys.exit(1)
    if not is_running_from_reloader():
        _tell(server)
    if not use_reloader:
        _serve(server)
        return
    server.socket.set_inheritable(True)
    os.environ[SERVER_FD] = str(server.fileno())
    try:
        run_with_reloader(
            lambda: _serve(server),
            extra_files=extra_files or (),
            exclude_patterns=exclude_patterns or (),
            interval_s=reloader_interval,
            reloader_type=reloader_type,
            listeners=[server.fileno(), *listeners],
        )
    finally:
        # A request that runs for long must not keep new code, or the end, from coming.
        if server.end_within(LEAVE_S):
            server.server_close()


def _lasting_certificate(host: str, listeners: list[int]) -> ssl.SSLContext:
    """The same one in all processes that the reloader starts; its descriptor is added to `listeners`."""
    from prefork.dev.adhoc import adhoc_credential, context_of, hand_on, handed_on

    if is_running_from_reloader() and ADHOC_FD in os.environ:
        return context_of(handed_on(int(os.environ[ADHOC_FD])))
    credential = adhoc_credential(host)
    fd = hand_on(credential)
    listeners.append(fd)
    os.environ[ADHOC_FD] = str(fd)
    return context_of(credential)


def _tell(server: WSGIServer) -> None:
    scheme = "http" if server.ssl_context is None else "https"
    path = server.server_address if isinstance(server.server_address, str) else ""
    lines = startup_lines(server.host, server.port, scheme, own_addresses(), path)
    dev_logger().info("%s", "\n".join([*lines, "Press CTRL+C to quit"]))


def _serve(server: WSGIServer) -> None:
    with _signals(server):
        server.serve_forever()


@contextmanager
def _signals(server: WSGIServer) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the server, if this is the main thread (only that may say so: signal(2) of Python)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(_number: int, _frame: FrameType | None) -> None:
        server.shutdown()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        # The first also ends a server whose application swallows the second.
        server.shutdown()
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    handlers: dict[int, Callable[[int, FrameType | None], None]] = {
        signal.SIGTERM: terminate,
        signal.SIGINT: interrupt,
    }
    for number, handler in handlers.items():
        before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
