"""prefork beside other servers: CPU time per request, requests per second, latency, memory. `make bench` runs it with everything.

    python bench/compare.py [--servers prefork,granian] [--workloads unique,browser,hello,close] [--rounds 5] [--seconds 2]
                            [--operations start,reload] [--markdown FILE] [--plot FILE]

The server has the first core, the load (wrk) the last. The servers take turns within each round, so that what disturbs the
machine disturbs all of them; still compare only within one run. Needs wrk, taskset and openssl; servers that are not installed
are named and left out.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.measure import LoadError, Sample, measure, median
from harness.operations import OPERATIONS, operate
from harness.report import plot, setting, table
from harness.servers import FLOOR, PEERS, StartError, running
from harness.workloads import WORKLOADS

import prefork

PLOTTED = ["unique", "browser", "hello", "close"]


class Comparison:
    """All rounds of all servers."""

    def __init__(self, servers: list[str], directory: Path) -> None:
        self.servers = servers
        self.results: dict[tuple[str, str], list[Sample]] = {}
        self.numbers: dict[tuple[str, str], list[float]] = {}
        self.problems: list[str] = []
        cores = sorted(os.sched_getaffinity(0))
        self._server_cores, self._client_cores, self._all_cores = {cores[0]}, {cores[-1]}, set(cores)
        self._certificate = make_certificate(directory)

    def round(self, name: str, seconds: int) -> None:
        """One workload, every server once."""
        workload = WORKLOADS[name]
        for server in self.servers:
            peer = PEERS[server]
            if not peer.can(workload.wish):
                continue
            cores = self._all_cores if workload.all_cores else self._server_cores
            try:
                with running(peer, workload.wish, cores, self._certificate) as started:
                    # Not at once: the first requests import and fill caches.
                    sample = measure(
                        started, workload, cores if workload.all_cores else self._client_cores, seconds
                    )
            except (StartError, LoadError) as error:
                self._complain(f"{server}, {name}: {error}")
                continue
            self.results.setdefault((server, name), []).append(sample)

    def operations(self, names: list[str]) -> None:
        """Each once for every server that has it."""
        for operation in OPERATIONS:
            if operation.name not in names:
                continue
            for server in self.servers:
                if server in operation.servers:
                    try:
                        number = operate(operation, PEERS[server], self._all_cores, self._certificate)
                    except (StartError, OSError) as error:
                        self._complain(f"{server}, {operation.name}: {error}")
                        continue
                    self.numbers.setdefault((server, operation.name), []).append(number)

    def _complain(self, text: str) -> None:
        print(text, file=sys.stderr)
        self.problems.append(text.strip().replace("\n", " / ")[:300])

    def text(self, workloads: list[str], rounds: int, seconds: int) -> str:
        """Everything, in Markdown."""
        parts = [setting(rounds, seconds) + "\n"]
        parts += [table(name, WORKLOADS[name].what, self.servers, self.results) for name in workloads]
        for operation in OPERATIONS:
            lines = [
                f"| {server} | {median(values):.1f} ({min(values):.1f} to {max(values):.1f}) |"
                for server in self.servers
                if (values := self.numbers.get((server, operation.name)))
            ]
            if lines:
                parts.append(
                    "\n".join(
                        [
                            f"### {operation.name}: {operation.what}\n",
                            "| server | median |",
                            "|---|---|",
                            *lines,
                            "",
                        ]
                    )
                )
        absent = [name for name, peer in PEERS.items() if peer.version is None]
        if absent:
            parts.append(f"Not installed here (does not build?): {', '.join(absent)}.\n")
        if self.problems:
            parts.append("\n".join(["Problems:", "", *(f"- {problem}" for problem in self.problems), ""]))
        return "\n".join(parts)


def make_certificate(directory: Path) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1".split()
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return str(certificate), str(key)


def chosen(text: str, known: list[str], what: str) -> list[str]:
    """A comma-separated list of names, or "all"."""
    names = known if text == "all" else [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise SystemExit(f"no {what} {name!r}: choose from {', '.join(known)}")
    return names


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--servers", default="prefork,granian", help='names, or "all"')
    parser.add_argument("--workloads", default="unique,browser,hello,close", help='names, or "all"')
    parser.add_argument("--operations", default="", help='names, or "all"')
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="write what is printed to this file too")
    parser.add_argument("--plot", type=Path, help="write an SVG to this file")
    options = parser.parse_args()
    for program in ("wrk", "taskset", "openssl"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is missing")
    wanted = chosen(options.servers, [*PEERS], "server")
    if options.servers == "all":
        wanted.remove(FLOOR)
    servers = [name for name in wanted if PEERS[name].version]
    workloads = chosen(options.workloads, [*WORKLOADS], "workload")
    operations = chosen(options.operations, [operation.name for operation in OPERATIONS], "operation")
    # As pip does for the others: an editable installation would be compiled anew by each process where byte code is not written.
    compileall.compile_dir(Path(prefork.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory() as directory:
        comparison = Comparison(servers, Path(directory))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for name in workloads:
                comparison.round(name, options.seconds)
            comparison.operations(operations)
    text = comparison.text(workloads, options.rounds, options.seconds)
    print(text)
    if options.markdown:
        options.markdown.parent.mkdir(parents=True, exist_ok=True)
        options.markdown.write_text(text)
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        plotted = [name for name in workloads if name in PLOTTED]
        title = "CPU time of the server for one request: less is better"
        options.plot.write_text(plot(title, plotted, servers, comparison.results))


if __name__ == "__main__":
    main()
