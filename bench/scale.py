"""Does a request cost the same with many connections, many workers, and after many requests? For prefork or a peer.

    python bench/scale.py [--server prefork] [--connections 1,16,256,1000,5000] [--workers 1,2,4,8] [--requests 300000]
                          [--seconds 2] [--rounds 3] [--parts connections,workers,memory] [--markdown FILE]

connections   CPU time, wake-ups and latency of a request while so many connections are busy. A wake-up is a return from sleep
              (voluntary_ctxt_switches, proc(5)): about one for each request that comes alone, less under load.
workers       CPU time of a request, and how evenly connections and work are shared: 400 connections opened one by one, at once,
              and load over 128; the coefficient of variation over the workers (0: all the same; 1 with two: all in one place).
memory        a worker's RSS, PSS and private memory after so many requests, each different. 10 million: --requests 10000000.

The server has the first core, the load the last; in `workers` both share all. Needs wrk, taskset and openssl.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import resource
import selectors
import socket
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compare import make_certificate
from harness.measure import LoadError, counted, cpu_s, family, median, wrk
from harness.report import setting
from harness.servers import PEERS, Running, Wish, running
from harness.workloads import SCRIPTS

OPENED = 400
LOAD = 128
POINTS = 10
ASK = b"GET /process HTTP/1.1\r\nHost: bench\r\n\r\n"


@dataclass
class Bench:
    """What is measured, where, how long."""

    server: str
    seconds: int
    rounds: int
    certificate: tuple[str, str]
    cores: list[int]

    @contextlib.contextmanager
    def running(self, workers: int, everywhere: bool = False) -> Iterator[Running]:
        """The server."""
        cores = set(self.cores) if everywhere else {self.cores[0]}
        with running(
            PEERS[self.server], Wish("paths:app", workers=workers), cores, self.certificate
        ) as server:
            yield server


# Connections ---------------------------------------------------------------------------------------------------------


def sleeps(pid: int) -> int:
    """How often the threads of a process have gone to sleep by themselves."""
    count = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found = re.search(
                r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE
            )
            count += int(found[1]) if found else 0
    return count


def by_connections(bench: Bench, counts: list[int]) -> list[str]:
    """A line for each number of connections."""
    samples: dict[int, list[tuple[float, float, float]]] = {count: [] for count in counts}
    with bench.running(1) as server:
        for _ in range(bench.rounds):
            for count in counts:
                members = family(server.pid)
                before_s, before = sum(map(cpu_s, members)), sum(map(sleeps, members))
                # Longer with many: to accept them is not what is measured.
                seconds = max(bench.seconds, count // 500)
                output = wrk(server.url("/"), count, (), {bench.cores[-1]}, seconds)
                requests, taken_s = counted(output)
                cpu_us = (sum(map(cpu_s, members)) - before_s) / requests * 1e6
                samples[count].append(
                    (cpu_us, (sum(map(sleeps, members)) - before) / requests, requests / taken_s)
                )
    lines = [
        "| connections | CPU us/request (lowest to highest) | wake-ups/request | requests/s |",
        "|---|---|---|---|",
    ]
    for count, rows in samples.items():
        cpu, woken, rate = zip(*rows, strict=True)
        lines.append(
            f"| {count:,} | {median(list(cpu)):.1f} ({min(cpu):.1f} to {max(cpu):.1f}) | {median(list(woken)):.2f} "
            f"| {median(list(rate)):,.0f} |"
        )
    return lines


# Workers -------------------------------------------------------------------------------------------------------------


def variation(counts: list[float]) -> float:
    """The coefficient of variation."""
    mean = statistics.fmean(counts)
    return statistics.pstdev(counts) / mean if mean else 0.0


def whose(sock: socket.socket) -> int:
    """The process that a connection is with, from its answer."""
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.partition(b"\r\n\r\n")[2]:
        piece = sock.recv(4096)
        if not piece:
            raise LoadError("a connection was closed")
        answer += piece
    return int(answer.partition(b"\r\n\r\n")[2])


def opened_one_by_one(server: Running) -> Counter[int]:
    """OPENED connections, each when the one before it has its answer; all stay open."""
    with contextlib.ExitStack() as stack:
        found: Counter[int] = Counter()
        for _ in range(OPENED):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.address.port), 20))
            sock.sendall(ASK)
            found[whose(sock)] += 1
        return found


def opened_at_once(server: Running) -> Counter[int]:
    """OPENED connections that all begin before any is answered."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(OPENED):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", server.address.port))
            selector.register(sock, selectors.EVENT_WRITE)
        found: Counter[int] = Counter()
        while selector.get_map():
            ready = selector.select(20)
            if not ready:
                raise LoadError("connections wait")
            for key, events in ready:
                assert isinstance(key.fileobj, socket.socket)
                if events & selectors.EVENT_WRITE:
                    key.fileobj.send(ASK)
                    selector.modify(key.fileobj, selectors.EVENT_READ)
                else:
                    selector.unregister(key.fileobj)
                    key.fileobj.settimeout(20)
                    found[whose(key.fileobj)] += 1
        return found


def by_workers(bench: Bench, numbers: list[int]) -> list[str]:
    """A line for each number of workers."""
    lines = [
        "| workers | CPU us/request | requests/s | variation: opened one by one | at once | CPU under load |",
        "|---|---|---|---|---|---|",
    ]
    for number in numbers:
        rows: list[tuple[float, ...]] = []
        for _ in range(bench.rounds):
            with bench.running(number, everywhere=True) as server:
                singly, together = opened_one_by_one(server), opened_at_once(server)
                members = family(server.pid)
                before = {member: cpu_s(member) for member in members}
                output = wrk(server.url("/"), LOAD, (), set(bench.cores), bench.seconds)
                spent = [cpu_s(member) - before[member] for member in members]
                requests, taken_s = counted(output)
                shares = [
                    variation([float(each) for each in (*found.values(), *[0] * (number - len(found)))])
                    for found in (singly, together)
                ]
                work = variation(sorted(spent)[-number:])
                rows.append((sum(spent) / requests * 1e6, requests / taken_s, *shares, work))
        cpu, rate, singly_cv, together_cv, work_cv = (
            median(list(column)) for column in zip(*rows, strict=True)
        )
        lines.append(
            f"| {number} | {cpu:.1f} | {rate:,.0f} | {singly_cv:.2f} | {together_cv:.2f} | {work_cv:.2f} |"
        )
    return lines


# Memory --------------------------------------------------------------------------------------------------------------


def memory_kib(pid: int) -> dict[str, int]:
    """Of one process (smaps_rollup, proc(5))."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    fields = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return {
        "rss": fields["Rss"],
        "pss": fields["Pss"],
        "private": fields["Private_Clean"] + fields["Private_Dirty"],
    }


def over_time(bench: Bench, most: int) -> list[str]:
    """A line for each point."""
    lines = ["| requests | RSS KiB | PSS KiB | private KiB |", "|---|---|---|---|"]
    with bench.running(1) as server:
        with socket.create_connection(("127.0.0.1", server.address.port), 20) as sock:
            sock.sendall(ASK)
            worker = whose(sock)
        done, told, at = 0, 0, []
        script = ("-s", str(SCRIPTS / "unique.lua"))
        while done < most:
            done += counted(wrk(server.url("/"), 64, script, {bench.cores[-1]}, bench.seconds))[0]
            if done >= told:
                at.append((done, memory_kib(worker)))
                told = done + most // POINTS
    lines += [f"| {count:,} | {kib['rss']:,} | {kib['pss']:,} | {kib['private']:,} |" for count, kib in at]
    growth = at[-1][1]["private"] - at[0][1]["private"]
    lines.append(f"\nPrivate memory between the first point and the last: {growth:+,} KiB.")
    return lines


def numbers(text: str) -> list[int]:
    """Numbers with commas between them."""
    return [int(each) for each in text.split(",")]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--server", default="prefork", choices=[name for name, peer in PEERS.items() if peer.version]
    )
    parser.add_argument("--connections", type=numbers, default=[1, 16, 256, 1000, 5000])
    parser.add_argument("--workers", type=numbers, default=[1, 2, 4, 8])
    parser.add_argument("--requests", type=int, default=300_000)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default="connections,workers,memory")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for wrk, and for the server, which inherits it
    with tempfile.TemporaryDirectory() as directory:
        cores = sorted(os.sched_getaffinity(0))
        bench = Bench(
            options.server, options.seconds, options.rounds, make_certificate(Path(directory)), cores
        )
        parts = {
            "connections": lambda: by_connections(bench, options.connections),
            "workers": lambda: by_workers(bench, options.workers),
            "memory": lambda: over_time(bench, options.requests),
        }
        texts = [f"{options.server}. {setting(options.rounds, options.seconds)}"]
        for name in options.parts.split(","):
            texts.append("\n".join(parts[name]()))
            print(f"{name}\n{texts[-1]}\n", flush=True)
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text("\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
