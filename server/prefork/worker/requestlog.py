"""What is written down when a request has been answered: the access log, and the end of a slow one.

Owns: putting both together from the settings. Runs in the worker. Must not know: formats, files, HTTP.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from prefork.observe.access import AccessLog, Writer, access_filter
from prefork.observe.access_entry import Origin
from prefork.observe.access_format import compile_format, needs_request_id, request_of, short_way
from prefork.observe.log import Log
from prefork.observe.sinks import open_sink
from prefork.observe.writer import LineWriter
from prefork.settings.log import LOGGER
from prefork.settings.model import Settings
from prefork.worker.boot import WorkerBoot
from prefork.worker.requestid import KEY
from prefork.wsgi.context import AccessLog as Tell


class RequestLog:
    """Of one worker. `tell` is called for each request, from any thread."""

    def __init__(self, boot: WorkerBoot) -> None:
        settings = boot.settings
        # Pool threads answer while the loop sleeps; with one thread each turn of the loop ends soon.
        holds = settings.workers.threads == 1
        self._access = _access_log(boot, holds)
        slow = _slow_log(boot)
        lines = None if self._access is None else self._access.tell
        self.tell: Tell | None = lines
        """None: nobody wants to know."""
        if slow is not None:
            self.tell = slow if lines is None else _both(slow, lines)
        self.flush: Callable[[], None] = _nothing if self._access is None or not holds else self._access.flush
        """To be called at the end of each turn of the loop, and at the end of all."""


def wants_request_ids(settings: Settings) -> bool:
    """Whether requests need a name."""
    return settings.log.access != "off" and needs_request_id(settings.log.access_format)


def _access_log(boot: WorkerBoot, holds: bool) -> AccessLog | None:
    log = boot.settings.log
    if log.access == "off" or (boot.access_fd is None and log.access != LOGGER):
        return None
    writer: Writer
    if boot.access_fd is None:
        from prefork.observe.handlers import LoggerWriter

        writer = LoggerWriter()
    else:
        writer = LineWriter(boot.access_fd)

    def on_lost(count: int) -> None:
        boot.log.warning("log_lines_lost", lines=count, log=log.access)

    return AccessLog(
        writer,
        compile_format(
            log.access_format,
            Origin(boot.slot, boot.generation, os.getpid()),
            colours=_is_colourful(boot.access_fd),
        ),
        access_filter(log.access_filter, int(log.slow_after * 1e9)),
        short=short_way(log.access_format),
        holds=holds,
        on_lost=on_lost,
    )


def _is_colourful(fd: int | None) -> bool:
    """Whether lines go to a terminal of somebody who likes colours (https://no-color.org)."""
    return fd is not None and os.isatty(fd) and not os.environ.get("NO_COLOR")


def _slow_log(boot: WorkerBoot) -> Tell | None:
    if boot.slow_fd is None:
        return None
    settings = boot.settings.log
    log = Log(
        open_sink(boot.slow_fd, settings.format),
        "info",
        role="worker",
        pid=os.getpid(),
        worker=boot.slot,
        gen=boot.generation,
    )
    slow_ns = int(settings.slow_after * 1e9)

    def tell(
        environ: dict[str, Any],
        status: int,
        body_bytes: int,
        duration_ns: int,
        queued_ns: int = 0,
        bytes_in: int = 0,
    ) -> None:
        if duration_ns >= slow_ns:
            log.warning(
                "request_slow_ended",
                request=request_of(environ),
                client=environ.get("REMOTE_ADDR") or None,
                status=status,
                bytes=body_bytes,
                duration_s=round(duration_ns / 1e9, 3),
                queue_s=round(queued_ns / 1e9, 3),
                request_id=environ.get(KEY),
            )

    return tell


def _both(first: Tell, second: Tell) -> Tell:
    def tell(
        environ: dict[str, Any],
        status: int,
        body_bytes: int,
        duration_ns: int,
        queued_ns: int = 0,
        bytes_in: int = 0,
    ) -> None:
        first(environ, status, body_bytes, duration_ns, queued_ns, bytes_in)
        second(environ, status, body_bytes, duration_ns, queued_ns, bytes_in)

    return tell


def _nothing() -> None:
    pass
