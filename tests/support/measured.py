"""Numbers that a test measured: printed at the end of the run, whether it passed or not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Measured = Callable[[str], None]
"""What the fixture `measured` is: takes one sentence with the number in it."""

PROPERTY = "measured"


def report(terminal: pytest.TerminalReporter) -> None:
    """Write every measurement of the run; they travel with the test reports, also from parallel processes."""
    reports = [one for outcome in ("passed", "failed") for one in terminal.stats.get(outcome, [])]
    lines = [
        f"{one.nodeid.split('::')[-1]}: {value}"
        for one in reports
        for name, value in getattr(one, "user_properties", ())
        if name == PROPERTY and one.when == "call"
    ]
    if lines:
        terminal.section("measured")
        for line in sorted(lines):
            terminal.line(line)
