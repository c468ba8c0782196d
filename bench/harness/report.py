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


BAR, GAP, LABEL, WIDTH, MARGIN = 16, 8, 140, 760, 20
STYLE = """
text { font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #4a5560 }
.title { font-size: 15px; font-weight: 600; fill: #14191f }
.group { font-size: 13px; font-weight: 600; fill: #14191f }
.own, .own-value { fill: #0a7d4f } .own-value, .own-name { font-weight: 600 }
.other { fill: #b3bcc5 }
.ground { fill: #ffffff } .spread { stroke: #14191f; stroke-opacity: .55 }
@media (prefers-color-scheme: dark) {
  text { fill: #b6c0ca } .title, .group { fill: #f0f3f6 }
  .own, .own-value { fill: #3fc28a } .other { fill: #56616c }
  .ground { fill: #0d1117 } .spread { stroke: #f0f3f6 }
}
"""
"""Readable on light and dark pages: the picture follows what its reader prefers (Media Queries Level 5, prefers-color-scheme)."""


def plot(title: str, workloads: Sequence[str], servers: Sequence[str], results: Results) -> str:
    """Horizontal bars of CPU per request, a group a workload, each with its own scale; a thin line shows the spread."""
    parts: list[str] = []
    y = MARGIN + 44
    for workload in workloads:
        rows = [
            (median(values), min(values), max(values), name)
            for name in servers
            if (values := [sample.cpu_us for sample in results.get((name, workload), ())])
        ]
        if not rows:
            continue
        us_per_px = max(highest for _, _, highest, _ in rows) / (WIDTH - 2 * MARGIN - LABEL - 130)
        parts.append(f'<text class="group" x="{MARGIN}" y="{y}">{escape(workload)}</text>')
        y += GAP
        own = median([sample.cpu_us for sample in results.get(("prefork", workload), ())])
        for value, lowest, highest, name in sorted(rows):
            parts += _bar(
                y, name, value, (lowest / us_per_px, highest / us_per_px), value / us_per_px, value / own
            )
            y += BAR + 4
        y += BAR + 2 * GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" role="img">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
        f'<rect class="ground" width="{WIDTH}" height="{y}" rx="8"/>'
        f'<text class="title" x="{MARGIN}" y="{MARGIN + 12}">{escape(title)}</text>'
        + "".join(parts)
        + "</svg>\n"
    )


def _bar(
    y: int, name: str, value: float, spread: tuple[float, float], length: float, ratio: float
) -> list[str]:
    own = name.startswith("prefork")
    x, middle = MARGIN + LABEL, y + BAR / 2
    words = f"{value:,.1f} us" if name == "prefork" or ratio != ratio else f"{value:,.1f} us  ({ratio:.2f} x)"
    return [
        f'<text class="{"own-name" if own else ""}" x="{x - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{"own" if own else "other"}" x="{x}" y="{y}" width="{max(1.0, length):.1f}" height="{BAR}" rx="2"/>',
        f'<line class="spread" x1="{x + spread[0]:.1f}" x2="{x + spread[1]:.1f}" y1="{middle}" y2="{middle}"/>',
        f'<text class="{"own-value" if own else ""}" x="{x + max(length, spread[1]) + 8:.1f}" y="{y + 12}">{words}</text>',
    ]
