"""What is not load: the first response, a reload, memory of eight workers, a server with nothing to do.

Owns: these measurements, for the servers that have them. Each is one number; the caller repeats and takes medians.
"""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from os import kill

from harness.measure import counted, idle_cpu_ms_per_s, pss_mib, wrk
from harness.servers import Peer, Running, StartError, Wish, running

SURE = 40
"""So many answers of the new code in a row, each over a connection of its own, end a reload."""
RELOAD_S = 30.0
MEMORY_REQUESTS = 80_000
"""Ten thousand for each of eight workers."""


@dataclass(frozen=True)
class Operation:
    """One thing to measure."""

    name: str
    what: str
    wish: Wish
    number: Callable[[Running], float]
    servers: tuple[str, ...]


def _first_response(server: Running) -> float:
    return server.first_response_s * 1000


def _reload(server: Running) -> float:
    """Milliseconds from SIGHUP until only the new code answers."""
    # The latest of them all: without preloading each worker has a time of its own.
    before = max(float(_get(server, "/imported")) for _ in range(SURE))
    begun = time.monotonic()
    kill(server.pid, signal.SIGHUP)
    row, first_of_row = 0, begun
    while row < SURE:
        now = time.monotonic()
        if now > begun + RELOAD_S:
            raise StartError("the reload does not end")
        if float(_get(server, "/imported")) > before:
            first_of_row = first_of_row if row else time.monotonic()
            row += 1
        else:
            row = 0
    return (first_of_row - begun) * 1000


def _memory(server: Running) -> float:
    answered = 0
    while answered < MEMORY_REQUESTS:
        # Many connections, and new ones each time: every worker has its share.
        answered += counted(wrk(server.url("/"), 64, (), os.sched_getaffinity(0), 5))[0]
    return pss_mib(server.pid)


def _idle(server: Running) -> float:
    return idle_cpu_ms_per_s(server, 5.0)


def _get(server: Running, path: str) -> bytes:
    with urllib.request.urlopen(server.url(path), timeout=10) as answer:
        content: bytes = answer.read()
        return content


ALL = ("prefork", "granian", "uwsgi", "gunicorn-gthread", "gunicorn-sync")
OPERATIONS = (
    Operation(
        "start", "ms to the first response, 4 workers", Wish("paths:app", workers=4), _first_response, ALL
    ),
    Operation(
        "reload",
        "ms until only new code answers, 4 workers, by SIGHUP",
        Wish("paths:app", workers=4),
        _reload,
        ("prefork", "gunicorn-gthread", "gunicorn-sync"),
    ),
    Operation(
        "memory",
        "MiB (PSS) of 8 Flask workers, preloaded where the server can, after 80,000 requests",
        Wish("flask_app:app", workers=8, preload=True),
        _memory,
        ALL,
    ),
    Operation(
        "nothing", "ms CPU per second of an idle server, 4 workers", Wish("paths:app", workers=4), _idle, ALL
    ),
)


def operate(operation: Operation, peer: Peer, cores: set[int], certificate: tuple[str, str]) -> float:
    """One measurement. Raises StartError, OSError."""
    with running(peer, operation.wish, cores, certificate) as server:
        return operation.number(server)
