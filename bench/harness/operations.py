"""What is not load: the first response, a reload, memory of eight workers, a server with nothing to do.

Owns: these measurements, for the servers that have them. Each is one number; the caller repeats and takes medians.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from os import kill
from pathlib import Path

from harness.measure import ALL_THERE_S, TICKS, counted, family, idle_cpu_ms_per_s, pss_mib, wrk
from harness.servers import Peer, Running, StartError, Wish, running

WORKERS = 4
ANSWER_S = 1.0
RELOADS = 5
"""For the processor time of one: the kernel's counters tick every 10 ms."""
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
    """Milliseconds from SIGHUP until no worker of before runs any more and a new one answers.

    Whether all new ones have loaded the application is not asked: to reach each of them takes longer than the difference."""
    old = _settled(server)
    begun = time.monotonic()
    _reload_all(server, old)
    return (time.monotonic() - begun) * 1000


def _reload_again(server: Running) -> float:
    """As `_reload`, of a server that has been reloaded before."""
    _reload_all(server, _settled(server))
    return _reload(server)


def _reload_cpu(server: Running) -> float:
    """Milliseconds of processor time that a reload takes from all processes of the server."""
    spent = 0.0
    for _ in range(RELOADS):
        old = _settled(server)
        before = _cpu_of_all_s(server.pid)
        _reload_all(server, old)
        time.sleep(ALL_THERE_S)
        spent += _cpu_of_all_s(server.pid) - before
    return spent / RELOADS * 1000


def _settled(server: Running) -> set[int]:
    """Its workers, when all of them have answered and nothing is being started any more."""
    # gunicorn's master sleeps between the births of its first workers and after a reload, and hears no signal meanwhile.
    time.sleep(ALL_THERE_S)
    found: set[int] = set()
    limit = time.monotonic() + RELOAD_S
    while len(found) < WORKERS:
        found |= _answering(server)
        if time.monotonic() > limit:
            raise StartError(f"only {len(found)} workers answer")
    return found


def _reload_all(server: Running, old: set[int]) -> None:
    kill(server.pid, signal.SIGHUP)
    limit = time.monotonic() + RELOAD_S
    # Nobody is asked before that: questions take processor time too.
    while any(map(_runs, old)) or not _answering(server) - old:
        if time.monotonic() > limit:
            raise StartError("the reload does not end")
        time.sleep(0.001)


def _answering(server: Running) -> set[int]:
    """The process that answers now; nothing if none does in time, or it ends instead."""
    with (
        contextlib.suppress(OSError, ValueError),
        socket.create_connection(("127.0.0.1", server.address.port), ANSWER_S) as sock,
    ):
        sock.sendall(b"GET /process HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        content = b""
        while piece := sock.recv(4096):
            content += piece
        return {int(content.rpartition(b"\r\n")[2])}
    return set()


def _runs(pid: int) -> bool:
    """Not if it has ended and waits to be collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def _cpu_of_all_s(pid: int) -> float:
    """User and system time so far, with that of processes that have been collected."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / TICKS


def _memory(server: Running) -> float:
    answered = 0
    while answered < MEMORY_REQUESTS:
        # Many connections, and new ones each time: every worker has its share.
        answered += counted(wrk(server.url("/"), 64, (), os.sched_getaffinity(0), 5))[0]
    return pss_mib(server.pid)


def _idle(server: Running) -> float:
    return idle_cpu_ms_per_s(server, 5.0)


ALL = ("prefork", "granian", "uwsgi", "gunicorn-gthread", "gunicorn-sync")
RELOADING = ("prefork", "gunicorn-gthread", "gunicorn-sync")
OPERATIONS = (
    Operation(
        "start", "ms to the first response, 4 workers", Wish("paths:app", workers=4), _first_response, ALL
    ),
    Operation(
        "reload",
        "ms until 4 old workers have ended and a new one answers, by SIGHUP",
        Wish("paths:app", workers=WORKERS),
        _reload,
        RELOADING,
    ),
    Operation(
        "reload_again",
        "ms for each reload after the first",
        Wish("paths:app", workers=WORKERS),
        _reload_again,
        RELOADING,
    ),
    Operation(
        "reload_cpu",
        f"ms CPU of all processes for such a reload, mean of the first {RELOADS}",
        Wish("paths:app", workers=WORKERS),
        _reload_cpu,
        RELOADING,
    ),
    Operation(
        "memory",
        "MiB (PSS) of 8 Flask workers, preloaded where the server can, after 80,000 requests",
        Wish("flask_app:app", workers=8, preload=True),
        _memory,
        ALL,
    ),
    Operation(
        "memory_warm",
        'the same with `[app] warmup = ["/"]`, which no other server has',
        Wish("flask_app:app", workers=8, preload=True, warm=True),
        _memory,
        ("prefork",),
    ),
    Operation(
        "nothing", "ms CPU per second of an idle server, 4 workers", Wish("paths:app", workers=4), _idle, ALL
    ),
)


def operate(operation: Operation, peer: Peer, cores: set[int], certificate: tuple[str, str]) -> float:
    """One measurement. Raises StartError, OSError."""
    with running(peer, operation.wish, cores, certificate) as server:
        return operation.number(server)
