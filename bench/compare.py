"""CPU time per request of prefork and other servers, measured side by side.

    python bench/compare.py --servers prefork,granian --workloads hello,browser,unique --rounds 5

Each round starts each server once (one worker, one thread, pinned to one core), runs each workload with wrk (64 connections,
keep-alive, pinned to another core) and reads the CPU time of all its processes from /proc/PID/stat before and after. Rounds
alternate between the servers, for the noise of a shared machine changes from minute to minute. Needs wrk; the servers must be
importable by the Python that runs this.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")

WORKLOADS: dict[str, list[str]] = {
    "hello": ["-H", "Accept: */*"],
    "browser": ["-s", str(HERE / "workloads/browser.lua")],
    "unique": ["-s", str(HERE / "workloads/unique.lua")],
    "close": ["-H", "Connection: close"],
}


def command(server: str, port: int) -> list[str]:
    """How `server` is started: its best settings for one worker with one thread."""
    address = f"127.0.0.1:{port}"
    match server:
        case "prefork":
            options = ["--bind", address, "--workers", "1", "--threads", "1", "--set", "log.level=error"]
            return [sys.executable, "-m", "prefork", "app:app", *options]
        case "granian":
            options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
            options += ["--blocking-threads", "1", "--no-ws", "--log-level", "error"]
            return [sys.executable, "-m", "granian", *options, "app:app"]
        case "gunicorn":
            options = ["-b", address, "-w", "1", "-k", "gthread", "--threads", "1", "--log-level", "error"]
            return [sys.executable, "-m", "gunicorn", *options, "app:app"]
    raise SystemExit(f"no server {server!r}: prefork, granian, gunicorn")


def family(pid: int) -> list[int]:
    """`pid` and all its descendants."""
    members = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                members += family(int(child))
    return members


def cpu_s(pid: int) -> float:
    """User and system time of a server's processes so far."""
    ticks = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


@contextlib.contextmanager
def running(server: str, core: int) -> Iterator[tuple[int, int]]:
    """Starts `server`; gives its pid and port once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pinned = ["taskset", "-c", str(core), *command(server, port)]
    process = subprocess.Popen(pinned, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{server} does not start: {' '.join(pinned)}")
            time.sleep(0.05)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    """Whether a request is answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return sock.recv(1000).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def load(workload: str, port: int, core: int, seconds: int) -> int:
    """Runs wrk; gives the number of requests. An answer other than 200 ends the comparison."""
    options = ["-t1", "-c64", f"-d{seconds}s", *WORKLOADS[workload], f"http://127.0.0.1:{port}/"]
    result = subprocess.run(
        ["taskset", "-c", str(core), "wrk", *options], capture_output=True, text=True, check=True
    )
    if "Non-2xx" in result.stdout:
        raise SystemExit(f"{workload}: {result.stdout}")
    found = re.search(r"(\d+) requests in", result.stdout)
    if found is None or not int(found[1]):
        raise SystemExit(f"{workload}: wrk says {result.stdout}")
    return int(found[1])


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--servers", default="prefork,granian")
    parser.add_argument("--workloads", default="hello,browser,unique,close")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    servers, workloads = options.servers.split(","), options.workloads.split(",")
    cores = sorted(os.sched_getaffinity(0))
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for server in servers:
            with running(server, cores[0]) as (pid, port):
                for workload in workloads:
                    before = cpu_s(pid)
                    requests = load(workload, port, cores[-1], options.seconds)
                    found.setdefault((server, workload), []).append((cpu_s(pid) - before) / requests * 1e6)
    print(
        f"CPU us per request, median (lowest to highest) of {options.rounds} rounds; ratio to {servers[-1]}"
    )
    print(f"{platform.python_implementation()} {platform.python_version()}, Linux {platform.release()}\n")
    print("| server | " + " | ".join(workloads) + " |")
    print("|---" * (len(workloads) + 1) + "|")
    for server in servers:
        cells = []
        for workload in workloads:
            values = found[server, workload]
            median = statistics.median(values)
            ratio = median / statistics.median(found[servers[-1], workload])
            cells.append(f"{median:.1f} ({min(values):.1f} to {max(values):.1f}) x {ratio:.2f}")
        print(f"| {server} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
