"""The command line. `main` is what `prefork` runs, and the only place that ends the process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command in `argv` (default: that of the process) and end the process with its exit code."""
    if os.getpid() == 1:
        from prefork.cli.first import hold_signals

        # Before everything else is imported.
        hold_signals()
    from prefork.cli.entry import main as run

    run(argv)


__all__ = ["main"]
