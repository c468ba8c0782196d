"""The command line. `main` is what `prefork` runs, and the only place that ends the process."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command in `argv` (default: that of the process) and end the process with its exit code."""
    if os.getpid() == 1:
        from prefork.cli.first import hold_signals

        # Before everything else is imported.
        hold_signals()
    given = sys.argv[1:] if argv is None else argv
    if not _may_serve(given):
        from prefork.cli.entry import main as run

        run(given)
    from prefork.master.newborn import bear_ahead, forget_ahead

    # Before everything else is imported too: the zygote imports as much, and both do it at the same time.
    bear_ahead()
    try:
        from prefork.cli.entry import main as run

        run(given)
    except KeyboardInterrupt:
        # In the middle of that import; `run` answers the others.
        sys.exit(130)
    finally:
        forget_ahead()


def _may_serve(argv: Sequence[str]) -> bool:
    """Whether these arguments are for `prefork run`, as far as they can be told before anything is imported."""
    if not argv or {"-h", "--help", "-V", "--version"} & set(argv):
        return False
    return argv[0] == "run" or argv[0].startswith("-") or ":" in argv[0]


__all__ = ["main"]
