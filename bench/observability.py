"""What it costs to be seen: prefork with and without the scoreboard, with metrics that are asked for, and with an access log.

    python bench/observability.py [--rounds 15] [--seconds 2] [--workloads unique,close]

There is no setting that switches the scoreboard off. So "off" is a copy of the package from which every statement that writes to
it is taken out (by the syntax tree; that it counts nothing is checked at the end). All variants stand ready from the start and
take turns, in another order in each round; each has the first core while it is measured, the load (wrk) the last. What is
compared are the variants of one round: their ratios, with the quartiles. Needs wrk.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import prefork

HERE = Path(__file__).parent
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
    rate: list[float] = field(default_factory=list)

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


def load(variant: Variant, workload: str, seconds: float, core: int) -> None:
    """One measurement."""
    command = [
        "taskset",
        "-c",
        str(core),
        "wrk",
        "-t1",
        "-c16",
        f"-d{seconds:g}s",
        f"http://127.0.0.1:{variant.port}/",
    ]
    if workload == "close":
        command[-1:-1] = ["-H", "Connection: close"]
    elif workload != "hello":
        command[-1:-1] = ["-s", str(HERE / "workloads" / f"{workload}.lua")]
    before = cpu_s(variant.pid)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = cpu_s(variant.pid) - before
    # Prometheus asks every SCRAPE_EVERY_S, which is longer than a round: its part of what that costs.
    used += variant.scrape_s * seconds / SCRAPE_EVERY_S
    requests = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    if "Non-2xx" in said:
        raise SystemExit(said)
    variant.cpu_us.append(used / requests * 1e6)
    variant.rate.append(rate)


def compare(variants: list[Variant], workload: str, rounds: int, seconds: float, core: int) -> None:
    """Prints a table."""
    for variant in variants:
        load(variant, workload, 1, core)
        variant.cpu_us.clear()
        variant.rate.clear()
    orders = itertools.cycle(itertools.permutations(variants))
    for _ in range(rounds):
        for variant in next(orders):
            load(variant, workload, seconds, core)
    off = variants[0]
    print(f"\n{workload}: {rounds} rounds of {seconds:g} s")
    for variant in variants:
        rates = sorted(mine / base for mine, base in zip(variant.rate, off.rate, strict=True))
        costs = sorted(mine - base for mine, base in zip(variant.cpu_us, off.cpu_us, strict=True))
        ratios = sorted(base / mine for mine, base in zip(variant.cpu_us, off.cpu_us, strict=True))
        print(
            f"  {variant.name:24} {statistics.median(variant.rate):6.0f} req/s, {_spread(rates, 100)} % of off;"
            f"  CPU {statistics.median(variant.cpu_us):5.2f} us a request (least {min(variant.cpu_us):5.2f}),"
            f" {_spread(costs, 1)} us more, throughput of a core {_spread(ratios, 100)} % of off"
        )


def _spread(values: list[float], times: float) -> str:
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"{middle * times:.2f} [{low * times:.2f}, {high * times:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--workloads", default="unique,close")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
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
            compare(variants, workload, arguments.rounds, arguments.seconds, cores[-1])
        counted = [variant.status()["counters"]["requests"] for variant in variants]  # type: ignore[index]
        if counted[0] or not all(counted[1:]):
            raise SystemExit(f"that was no comparison: the variants counted {counted} requests")


if __name__ == "__main__":
    main()
