"""The results as people read them: tables in Markdown, a plot in SVG.

Owns: medians, spreads, ratios and their look. Knows nothing of how anything was measured.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from harness.measure import Sample, median
from harness.servers import PEERS

Results = Mapping[tuple[str, str], Sequence[Sample]]
"""(server, workload) -> one sample a round."""


def setting(rounds: int, seconds: int) -> str:
    """Machine, versions, date."""
    versions = ", ".join(
        f"{peer.name} {peer.version}" for peer in PEERS.values() if peer.version and "pure" not in peer.name
    )
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    load = "; ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {model}, {len(os.sched_getaffinity(0))} cores, Linux "
        f"{platform.release()}, {platform.python_implementation()} {platform.python_version()}; {rounds} rounds of {seconds} s, "
        f"load average at the end {load}.\n{versions}."
    )


COLUMNS = (
    "server", "CPU us/request (lowest to highest)", "ratio to prefork", "requests/s", "p50 ms", "p99 ms", "MiB", "failed",
    "fairness",
)  # fmt: skip


def table(workload: str, what: str, servers: Sequence[str], results: Results) -> str:
    """One workload: a line a server, the cheapest first."""
    lines = [
        f"### {workload}: {what}\n",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    own = median([sample.cpu_us for sample in results.get(("prefork", workload), ())])
    present = [server for server in servers if results.get((server, workload))]
    for server in sorted(
        present, key=lambda name: median([sample.cpu_us for sample in results[name, workload]])
    ):
        samples = results[server, workload]
        cpu = [sample.cpu_us for sample in samples]
        lines.append(
            f"| {server} | {median(cpu):.1f} ({min(cpu):.1f} to {max(cpu):.1f}) | {median(cpu) / own:.2f} "
            f"| {median([sample.rate for sample in samples]):.0f} | {median([sample.p50_ms for sample in samples]):.2f} "
            f"| {median([sample.p99_ms for sample in samples]):.2f} | {median([sample.pss_mib for sample in samples]):.0f} "
            f"| {sum(sample.failed for sample in samples)} | {median([sample.fairness for sample in samples]):.2f} |"
        )
    return "\n".join(lines) + "\n"


BAR, GAP, LABEL, WIDTH = 16, 6, 130, 760


def plot(title: str, workloads: Sequence[str], servers: Sequence[str], results: Results) -> str:
    """Horizontal bars of CPU per request: a group a workload, each with its own scale."""
    parts: list[str] = []
    y = 40
    for workload in workloads:
        bars = [
            (name, median([sample.cpu_us for sample in results[name, workload]]))
            for name in servers
            if results.get((name, workload))
        ]
        if not bars:
            continue
        most = max(value for _, value in bars)
        parts.append(f'<text x="0" y="{y}" font-weight="bold">{escape(workload)}</text>')
        y += GAP
        for name, value in sorted(bars, key=lambda bar: bar[1]):
            length = max(1.0, value / most * (WIDTH - LABEL - 90))
            colour = "#0a7d4f" if name.startswith("prefork") else "#9aa4ad"
            parts += [
                f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
                f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>',
                f'<text x="{LABEL + length + 6:.1f}" y="{y + 12}">{value:.1f} us</text>',
            ]
            y += BAR + 3
        y += BAR + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" font-family="sans-serif"'
        ' font-size="12" fill="#333">'
        f'<rect width="{WIDTH}" height="{y}" fill="#fff"/><text x="0" y="16" font-size="14">{escape(title)}</text>'
        + "".join(parts)
        + "</svg>\n"
    )
