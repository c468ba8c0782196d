"""The life of a worker, from the fork to its last request.

Owns: putting the parts of a worker together, in order, and telling the master "ready" and "leaving". Runs in the worker. Must not
know: how it was forked.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from prefork.errors import BootError
from prefork.http.limits import Limits
from prefork.ipc.messages import WorkerFailed, WorkerLeaving, WorkerReady, clip
from prefork.ipc.seat import here
from prefork.settings.model import ServerSettings, Settings
from prefork.worker.acceptor import MAX_SHARE, Acceptor
from prefork.worker.bodymemory import body_memory
from prefork.worker.boot import WorkerBoot
from prefork.worker.connections import Connections, TimeLimits
from prefork.worker.departure import Departure, on_terminate
from prefork.worker.doors import open_doors
from prefork.worker.executors import InlineExecutor, ThreadExecutor
from prefork.worker.fastpath import use_fast_path
from prefork.worker.files import static_files, with_hand_over
from prefork.worker.hooks import install_hooks, run_after_fork, run_before_stop
from prefork.worker.logconfig import configure_logging
from prefork.worker.loop import EventLoop
from prefork.worker.pace import seconds_per_byte
from prefork.worker.recycle import RequestQuota
from prefork.worker.requestlog import RequestLog
from prefork.worker.seating import Seating
from prefork.worker.shedding import Shedding
from prefork.worker.stamp import HeaderStamp
from prefork.worker.takeover import MOMENT_S, Takeovers
from prefork.worker.warmup import warm_up_application
from prefork.wsgi.announce import server_header, server_software
from prefork.wsgi.context import ErrorStream, ServerContext, WSGIApplication
from prefork.wsgi.handler import WSGIRequestHandler
from prefork.wsgi.loader import load_application, load_class


def run(boot: WorkerBoot) -> None:
    """Serves until the master, a signal or the master's death ends it. Returns when the worker may exit."""
    try:
        if boot.application is None:
            configure_logging(boot.settings)
        application = boot.application if boot.application is not None else _import(boot)
        handler_class = _handler_class(boot.settings)
        software = server_software(handler_class)
        header = server_header(
            handler_class, boot.settings.server.server_header, ServerSettings().server_header
        )
    except BootError as error:
        boot.channel.send(
            WorkerFailed(
                worker_id=boot.worker_id,
                stage=error.stage,
                error=clip(error.error, 4000),
                traceback=clip(error.traceback),
            )
        )
        return
    stamp = HeaderStamp(header, time.time())
    seating = Seating(boot)
    run_after_fork(boot)
    request_log = RequestLog(boot)
    context = _context(boot, seating.watched(application), stamp, request_log, software)
    _serve(boot, context, handler_class, stamp, seating, request_log)


def _import(boot: WorkerBoot) -> WSGIApplication:
    settings = boot.settings
    if not settings.dev.enabled:
        return _load(boot)
    from prefork.dev.session import Session

    addresses = [address for _, address in boot.listeners]
    session = Session(settings, boot.worker_id, boot.slot, boot.channel, addresses)
    return session.load(lambda: _load(boot))


def _load(boot: WorkerBoot) -> WSGIApplication:
    """Nothing was preloaded: this worker has an application of its own, and warms it up itself."""
    application = load_application(boot.settings.app.target)
    install_hooks(boot.settings)
    addresses = [address for _, address in boot.listeners]
    warm_up_application(application, boot.settings, boot.generation, addresses, boot.log)
    return application


def _handler_class(settings: Settings) -> type[WSGIRequestHandler]:
    reference = settings.server.request_handler
    return load_class(reference, WSGIRequestHandler) if reference else WSGIRequestHandler


def _context(
    boot: WorkerBoot,
    application: WSGIApplication,
    stamp: HeaderStamp,
    request_log: RequestLog,
    software: str,
) -> ServerContext:
    return ServerContext(
        app=with_hand_over(application, boot.settings),
        stamp=stamp,
        log=boot.log,
        access=request_log.tell,
        errors=ErrorStream(boot.log.words),
        server_software=software,
        multithread=boot.settings.workers.threads > 1,
        app_name=boot.settings.app.target,
        extra=(("prefork.worker", boot.slot), ("prefork.generation", boot.generation)),
    )


def _serve(
    boot: WorkerBoot,
    context: ServerContext,
    handler_class: type[WSGIRequestHandler],
    stamp: HeaderStamp,
    seating: Seating,
    request_log: RequestLog,
) -> None:
    settings = boot.settings
    times = TimeLimits(
        header_s=settings.requests.header_timeout,
        body_s=settings.requests.body_timeout,
        write_s=settings.requests.write_timeout,
        keepalive_s=settings.requests.keepalive_timeout,
        s_per_byte=seconds_per_byte(settings.requests.min_rate),
    )
    loop = EventLoop(time.monotonic, recheck_s=min(times.keepalive_s or times.write_s, times.write_s))
    connections = Connections(
        loop, time.monotonic, context, handler_class, _limits(settings), times, settings.workers.connections
    )
    if not times.keepalive_s:
        connections.end_after_response()
    executor: InlineExecutor | ThreadExecutor
    if settings.workers.threads > 1:
        connections.on_claim = seating.serve_pool(loop.post, _takeovers(loop, settings))
        executor = ThreadExecutor(
            settings.workers.threads, loop.post, lambda: acceptor.resume(), on_thread=seating.take
        )
        tell_when_free = executor.tell_when_free
    else:
        seating.take_main()
        executor = InlineExecutor()
        tell_when_free = _never_saturated
    connections.executor = executor
    connections.static = static_files(settings, context.log)
    connections.buffer_bodies = settings.requests.buffer_body
    connections.chunks = body_memory(settings, loop, time.monotonic).pool
    connections.on_count = seating.count_connections
    shedding = None
    if settings.requests.queue_timeout:
        shedding = Shedding(settings.requests.queue_timeout, time.monotonic, boot.log)
    connections.shedding = shedding
    use_fast_path(connections, here.seat)
    doors = open_doors(boot.listeners, settings, boot.tls, connections)
    # Static files need no thread: the only worker of a server accepts for them also while every thread is busy. With siblings it
    # must not: a request for the application would wait here while another worker has a free thread.
    only_one = settings.workers.count == 1
    takers = connections.inline if only_one and connections.static is not None else executor
    share = MAX_SHARE if only_one else settings.workers.threads
    acceptor = Acceptor(
        loop, doors, connections, takers, tell_when_free, context.log, boot.baton_fd, share, only_one
    )
    hurries = settings.dev.enabled
    departure = Departure(loop, boot.channel, acceptor, connections, executor, boot.log, hurries=hurries)
    _handle_sigterm(boot, loop, departure)
    workers = settings.workers
    quota = RequestQuota(boot.channel, boot.worker_id, workers.max_requests, workers.max_requests_jitter)

    flush = request_log.flush
    has_pool = isinstance(takers, ThreadExecutor)

    def on_turn() -> None:
        flush()
        if has_pool:
            acceptor.yield_when_saturated()
        if departure.reason:
            departure.check()
        if shedding is not None:
            shedding.tell(loop.now)
        if connections.requests >= quota.enough:
            quota.check(connections.requests)

    acceptor.resume()
    boot.channel.send(WorkerReady(worker_id=boot.worker_id))
    loop.run(on_turn, on_wake=lambda: stamp.refresh(time.time()))
    executor.close()
    flush()
    run_before_stop(boot, departure.reason, connections.requests)
    boot.channel.send(
        WorkerLeaving(worker_id=boot.worker_id, reason=departure.reason, requests=connections.requests)
    )


def _takeovers(loop: EventLoop, settings: Settings) -> Takeovers:
    kill_after_s = settings.requests.kill_after
    moment_s = min(MOMENT_S, kill_after_s / 2) if kill_after_s else MOMENT_S
    return Takeovers(time.monotonic, loop.watch_exactly, moment_s)


def _never_saturated() -> None:
    raise AssertionError("an inline executor is never saturated")


def _limits(settings: Settings) -> Limits:
    requests = settings.requests
    return Limits(
        max_request_line=requests.max_request_line,
        max_header_bytes=requests.max_header_bytes,
        max_headers=requests.max_headers,
        max_body=requests.max_body,
        body_memory=requests.body_memory,
    )


def _handle_sigterm(boot: WorkerBoot, loop: EventLoop, departure: Departure) -> None:
    def handle(_number: int, _frame: FrameType | None) -> None:
        on_terminate(loop, departure, boot.master_pid, _end_hard)

    signal.signal(signal.SIGTERM, handle)


def _end_hard(after_s: float) -> None:
    """Has the kernel end this process, whatever it is doing: the default action of SIGALRM (setitimer(2))."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, after_s)
