"""One measurement: load on a running server, and what it cost.

Owns: wrk, the counters of /proc, the sockets of idle clients. CPU is user and system time of all processes of the server; it
moves far less from run to run than requests per second do.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.servers import Running
from harness.workloads import Workload

TICKS = os.sysconf("SC_CLK_TCK")
IDLE_S = 30.0
"""All idle connections together. A server that has a thread for each would let the next wait for the end of another."""
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


@dataclass(frozen=True)
class Sample:
    """What one round of one workload showed."""

    cpu_us: float
    """Per request."""
    rate: float
    """Requests per second."""
    p50_ms: float
    p99_ms: float
    pss_mib: float
    """Of all processes, under load."""
    failed: int
    """Answers other than 2xx, and socket errors."""
    fairness: float
    """The least CPU time of a worker over the most; 1.0 with one worker."""


ALL_THERE_S = 0.5
"""After the first response: until all workers accept."""


class LoadError(Exception):
    """The load could not be made; the text is what wrk says."""


def family(pid: int) -> list[int]:
    """`pid` and all its descendants."""
    members = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                members += family(int(child))
    return members


def cpu_s(pid: int) -> float:
    """User and system time of one process so far."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return 0.0


def pss_mib(pid: int) -> float:
    """Memory of a server: shared pages are divided among those who share them (proc(5), smaps_rollup)."""
    kib = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            found = re.search(
                r"^Pss:\s+(\d+)", Path(f"/proc/{member}/smaps_rollup").read_text(), re.MULTILINE
            )
            kib += int(found[1]) if found else 0
    return kib / 1024


def measure(server: Running, workload: Workload, cores: set[int], seconds: int) -> Sample:
    """Runs one workload against a server, wrk on `cores`. Raises LoadError."""
    if workload.wish.workers > 1:
        # It has just answered for the first time: one worker is there. Connections that are opened now stay with that one.
        time.sleep(ALL_THERE_S)
    with idle_connections(server, workload.idle), _beside(server, workload, cores, seconds):
        before = {member: cpu_s(member) for member in family(server.pid)}
        output = wrk(server.url(workload.path), workload.connections, workload.options, cores, seconds)
        # Whoever answers first may have siblings that are still being started.
        spent = {member: cpu_s(member) - before.get(member, 0.0) for member in family(server.pid)}
        memory = pss_mib(server.pid)
    requests, seconds_taken = counted(output)
    return Sample(
        sum(spent.values()) / requests * 1e6,
        requests / seconds_taken,
        _latency_ms(output, "50%"),
        _latency_ms(output, "99%"),
        memory,
        _failures(output),
        _fairness(list(spent.values()), workload.wish.workers),
    )


def wrk(url: str, connections: int, options: tuple[str, ...], cores: set[int], seconds: int) -> str:
    """What wrk says after a run. Raises LoadError."""
    pinned = ["taskset", "-c", ",".join(map(str, sorted(cores)))]
    command = [
        *pinned,
        "wrk",
        "--latency",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        *options,
        url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def counted(output: str) -> tuple[int, float]:
    """Requests, and the seconds they took, from what wrk said. Raises LoadError: there were none."""
    found = re.search(r"(\d+) requests in ([\d.]+)(\w+)", output)
    if found is None or not int(found[1]):
        raise LoadError(output)
    return int(found[1]), float(found[2]) * UNITS_MS[found[3]] / 1000


def _latency_ms(output: str, percentile: str) -> float:
    found = re.search(rf"^\s+{percentile}\s+([\d.]+)(us|ms|s|m)$", output, re.MULTILINE)
    return float(found[1]) * UNITS_MS[found[2]] if found else float("nan")


def _failures(output: str) -> int:
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    # Reads: wrk counts the end of a connection that it asked to be closed as one.
    return (int(bad[1]) if bad else 0) + (sum(int(errors[group]) for group in (1, 3, 4)) if errors else 0)


def _fairness(spent: list[float], workers: int) -> float:
    if workers == 1:
        return 1.0
    most = sorted(spent)[-workers:]
    return most[0] / most[-1] if most[-1] else 1.0


@contextlib.contextmanager
def _beside(server: Running, workload: Workload, cores: set[int], seconds: int) -> Iterator[None]:
    if workload.beside is None:
        yield
        return
    path, connections = workload.beside
    pinned = ["taskset", "-c", ",".join(map(str, sorted(cores)))]
    command = [*pinned, "wrk", "-t1", f"-c{connections}", f"-d{seconds + 1}s", server.url(path)]
    other = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.3)  # so that the slow requests are there when the counted ones begin
        yield
    finally:
        other.wait()


@contextlib.contextmanager
def idle_connections(server: Running, count: int) -> Iterator[None]:
    """So many connections that have had one answer and say nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if count + 100 > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 100, hard), hard))
    with contextlib.ExitStack() as stack:
        begun = time.monotonic()
        for made in range(count):
            if time.monotonic() > begun + IDLE_S:
                raise LoadError(
                    f"idle connections: only {made} of {count} had an answer after {IDLE_S:.0f} s"
                )
            try:
                sock = stack.enter_context(
                    socket.create_connection(("127.0.0.1", server.address.port), timeout=5)
                )
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                sock.recv(1000)
            except OSError as error:
                raise LoadError(f"idle connections: {error}") from error
        yield


def idle_cpu_ms_per_s(server: Running, seconds: float) -> float:
    """CPU time of a server that has nothing to do."""
    members = family(server.pid)
    before = sum(map(cpu_s, members))
    time.sleep(seconds)
    return (sum(map(cpu_s, members)) - before) / seconds * 1000


def median(values: list[float]) -> float:
    """nan for no values."""
    return statistics.median(values) if values else float("nan")
