"""What it costs to be seen: prefork with and without the scoreboard, with metrics that are asked for, and with an access log.

    python bench/observability.py [--rounds 300] [--workloads hello,unique,close]

There is no setting that switches the scoreboard off. So "off" is a copy of the package from which every statement that writes to
it is taken out (by the syntax tree; that it counts nothing is checked at the end). All variants stand ready from the start and
take turns, in another order in each round: some hundred requests each, a few hundredths of a second, so that whatever disturbs
the machine disturbs all of them. What is compared is the processor time of all processes of the server for a request, to the
nanosecond, between the variants of one round: the median of the ratios, and their quartiles. Its inverse is the throughput of a
core.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import prefork

HERE = Path(__file__).parent

CONNECTIONS = 16
SLICE = 640
"""Requests of one variant before the next has its turn."""
PACKAGE = Path(prefork.__file__).parent

SCRAPE_EVERY_S = 15.0
"""What most installations of Prometheus have; its default is a minute."""

WRITERS = {
    "worker/exchange.py": {"begin", "finish", "suspend", "arrived_s"},
    "worker/sender.py": {"progress"},
    "worker/executors.py": {"begin", "suspend"},
    "worker/connections.py": {"on_count"},
}
"""Where the scoreboard is written to, and by which calls."""

SETTINGS = """
[server]
name = "{name}"
listen = ["127.0.0.1:0"]
control = "{directory}/control"
[app]
target = "hello:app"
chdir = "{here}/applications"
[workers]
count = 1
[log]
output = "{directory}/log"
"""

SCRAPED = """
[status]
listen = ["127.0.0.1:0"]
"""


class _Remover(ast.NodeTransformer):
    """Takes out statements that are, or assign, a call of one of the names."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self.found: set[str] = set()

    def _instead(self, node: ast.Expr | ast.Assign) -> ast.stmt:
        call = node.value
        if not isinstance(call, ast.Call):
            return node
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        # `handler.begin` is something else.
        owner = getattr(getattr(call.func, "value", None), "id", "seat")
        if name not in self._names or owner not in ("seat", "self"):
            return node
        self.found.add(name)
        return ast.copy_location(ast.Pass(), node)

    visit_Expr = visit_Assign = _instead  # noqa: N815 - the names that ast asks for


def package_without(target: Path) -> None:
    """A copy of the package that does not write to the scoreboard."""
    shutil.copytree(PACKAGE, target / "prefork", ignore=shutil.ignore_patterns("__pycache__"))
    for name, calls in WRITERS.items():
        path = target / "prefork" / name
        remover = _Remover(calls)
        tree = remover.visit(ast.parse(path.read_text()))
        if remover.found != calls:
            raise SystemExit(f"{name} does not call {calls - remover.found} any more: change WRITERS here")
        path.write_text(ast.unparse(ast.fix_missing_locations(tree)))
    _silence_shared(target / "prefork")


def _silence_shared(package: Path) -> None:
    """The compiled parts write to the scoreboard by themselves: there its two functions are made to do nothing."""
    source = (package / "_shared.c").read_text()
    for name, nothing in (("begin_step", "return 0;"), ("finish_step", "return;")):
        head = re.search(rf"^{name}\(.*?\)\n\{{\n", source, re.MULTILINE | re.DOTALL)
        assert head is not None, name
        source = source[: head.end()] + f"    {nothing}\n" + source[head.end() :]
    (package / "_shared.c").write_text(source)
    library = package / f"_shared{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = f"-I{sysconfig.get_path('include')}"
    subprocess.run(
        ["cc", "-O3", "-shared", "-fPIC", include, package / "_shared.c", "-o", library], check=True
    )


@dataclass
class Variant:
    """A running server."""

    name: str
    pid: int
    port: int
    environment: dict[str, str]
    settings: Path
    status_port: int | None = None
    scrape_s: float = 0.0
    """Processor time that a scrape of /metrics takes."""
    cpu_us: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0

    def status(self) -> dict[str, object]:
        command = [sys.executable, "-m", "prefork", "status", "--json", "-c", str(self.settings)]
        said = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        found: dict[str, object] = json.loads(said.stdout)
        return found


@contextmanager
def running(name: str, extra: str, python_path: str, directory: Path, core: int) -> Iterator[Variant]:
    """One server on one core."""
    directory.mkdir()
    settings = directory / "server.toml"
    log = directory / "log"
    text = SETTINGS.format(name=name, directory=directory, here=HERE)
    settings.write_text(text + extra.format(directory=directory))
    environment = {**os.environ, "PYTHONPATH": python_path}
    command = ["taskset", "-c", str(core), sys.executable, "-m", "prefork", "-c", str(settings)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            variant = Variant(name, process.pid, 0, environment, settings)
            variant.port = _wait_for(log, r"event=listening .*address=127.0.0.1:(\d+)")
            _wait_for(log, r"event=()worker_ready")
            if "[status]" in extra:
                variant.status_port = _wait_for(log, r"event=status_listening .*address=127.0.0.1:(\d+)")
            yield variant
        finally:
            process.terminate()
            process.wait()


def _wait_for(log: Path, pattern: str) -> int:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = re.search(pattern, log.read_text()) if log.exists() else None
        if found:
            return int(found[1] or 0)
        time.sleep(0.05)
    raise SystemExit(f"no {pattern} in:\n{log.read_text() if log.exists() else 'no log'}")


def cpu_s(pid: int) -> float:
    """User and system time of a process and its descendants."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            total += cpu_s(int(child))
    # clock_getcpuclockid(3): finer than the ticks of /proc.
    return total + time.clock_gettime((~pid << 3) | 2)


def scrape(variant: Variant) -> float:
    """Seconds of processor time that it takes, on average."""
    before = 0.0
    for number in range(12):
        if number == 2:  # the first ones import
            before = cpu_s(variant.pid)
        urllib.request.urlopen(f"http://127.0.0.1:{variant.status_port}/metrics", timeout=30).read()
    return (cpu_s(variant.pid) - before) / 10


def requests_of(workload: str) -> list[bytes]:
    """What is asked; for "unique" five fields that are never the same, as behind a proxy."""
    if workload == "hello":
        return [b"GET / HTTP/1.1\r\nHost: bench.test\r\n\r\n"]
    if workload == "close":
        return [b"GET / HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n"]
    dice = random.Random(7)
    made = []
    for _ in range(2000):
        lines = [
            f"GET /items/17?q={dice.getrandbits(32):08x} HTTP/1.1",
            "Host: bench.test",
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
            "Accept: */*",
            "Accept-Encoding: gzip",
            f"Cookie: sid={dice.getrandbits(128):032x}",
            f"X-Forwarded-For: 10.0.{dice.randrange(256)}.{dice.randrange(256)}",
            "X-Forwarded-Proto: https",
            f"X-Request-ID: {dice.getrandbits(128):032x}",
            f"Traceparent: 00-{dice.getrandbits(128):032x}-{dice.getrandbits(64):016x}-01",
        ]
        made.append("\r\n".join([*lines, "", ""]).encode())
    return made


class Client:
    """Connections to one server, used side by side."""

    def __init__(self, variant: Variant, workload: str) -> None:
        self._address = ("127.0.0.1", variant.port)
        self._requests = itertools.cycle(requests_of(workload))
        self._fresh = workload == "close"
        self._open = (
            [] if self._fresh else [socket.create_connection(self._address) for _ in range(CONNECTIONS)]
        )

    def slice(self) -> None:
        """SLICE requests."""
        for _ in range(SLICE // CONNECTIONS):
            socks = self._open or [socket.create_connection(self._address) for _ in range(CONNECTIONS)]
            for sock in socks:
                sock.sendall(next(self._requests))
            for sock in socks:
                if not sock.recv(4096).startswith(b"HTTP/1.1 200 "):
                    raise SystemExit("that was no answer")
            if self._fresh:
                for sock in socks:
                    sock.close()

    def close(self) -> None:
        for sock in self._open:
            sock.close()


def load(variant: Variant, client: Client) -> None:
    """One measurement."""
    before = cpu_s(variant.pid)
    began = time.monotonic()
    client.slice()
    used = cpu_s(variant.pid) - before
    variant.cpu_us.append(used / SLICE * 1e6)
    variant.elapsed_s += time.monotonic() - began


def compare(variants: list[Variant], workload: str, rounds: int) -> None:
    """Prints a table."""
    clients = {variant.name: Client(variant, workload) for variant in variants}
    for variant in variants:
        for _ in range(5):
            load(variant, clients[variant.name])
        variant.cpu_us.clear()
    orders = itertools.cycle(itertools.permutations(variants))
    for _ in range(rounds):
        for variant in next(orders):
            load(variant, clients[variant.name])
    for client in clients.values():
        client.close()
    off = variants[0]
    print(f"\n{workload}: {rounds} rounds of {SLICE} requests")
    for variant in variants:
        # Prometheus asks every SCRAPE_EVERY_S: a full core gives so much of itself to that.
        left = 1 - variant.scrape_s / SCRAPE_EVERY_S
        pairs = list(zip(variant.cpu_us, off.cpu_us, strict=True))
        print(
            f"  {variant.name:24} CPU {statistics.median(variant.cpu_us):6.2f} us a request"
            f" (least {min(variant.cpu_us):6.2f}), {_spread([mine - base for mine, base in pairs], 1)} us more;"
            f" throughput of a core {_spread([base / mine * left for mine, base in pairs], 100)} % of off"
        )


def _spread(values: list[float], times: float) -> str:
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"{middle * times:.2f} [{low * times:.2f}, {high * times:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--workloads", default="hello,unique,close")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        scratch = Path(name)
        package_without(scratch / "without")
        here, without = str(PACKAGE.parent), str(scratch / "without")
        access = '\naccess = "{directory}/access"\n'
        variants = [
            stack.enter_context(running(name, extra, path, scratch / name.replace(" ", "-"), cores[0]))
            for name, extra, path in (
                ("off", "", without),
                ("scoreboard", "", here),
                ("scoreboard and metrics", SCRAPED, here),
                ("access log", access, here),
            )
        ]
        for variant in variants:
            if variant.status_port is not None:
                variant.scrape_s = scrape(variant)
                print(
                    f"a scrape of /metrics costs {variant.scrape_s * 1000:.1f} ms of CPU, all processes together"
                )
        for workload in arguments.workloads.split(","):
            compare(variants, workload, arguments.rounds)
        counted = [variant.status()["counters"]["requests"] for variant in variants]  # type: ignore[index]
        if counted[0] or not all(counted[1:]):
            raise SystemExit(f"that was no comparison: the variants counted {counted} requests")


if __name__ == "__main__":
    main()
