"""`prefork top`: its arguments, and whether there is a screen.

Owns: that choice. Runs in: cli. Must not know: drawing.
"""

from __future__ import annotations

import argparse
import os
import sys

from prefork.cli.client import add_server_arguments, find_control
from prefork.cli.command import Command
from prefork.errors import EXIT_OK, PreforkError

_SHORTEST_S, _LONGEST_S = 0.1, 3600.0

_ORDERS = {"worker": "worker", "requests": "req/s", "cpu": "cpu", "memory": "memory", "age": "age"}
"""Values of `table.Sort`."""


def _interval(written: str) -> float:
    seconds = float(written.removesuffix("s"))
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{written}: must be {_SHORTEST_S} to {_LONGEST_S:.0f} seconds")
    return seconds


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval", type=_interval, default=1.0, metavar="SECONDS", help="between two looks (1)"
    )
    parser.add_argument("--sort", choices=_ORDERS, default="worker", help="order of the workers (worker)")
    parser.add_argument("--once", action="store_true", help="one line, of one interval")
    parser.add_argument(
        "--plain", action="store_true", help="a line for each interval, as into a pipe; needs no rich"
    )
    add_server_arguments(parser)


def _run(arguments: argparse.Namespace) -> int:
    # Here, so that the server and other commands load nothing of it.
    from prefork.cli.top.asking import MemoryWatch, sample
    from prefork.cli.top.lines import follow

    path = find_control(arguments)
    if arguments.once or arguments.plain or not _has_screen():
        follow(path, sample(path, MemoryWatch()), arguments.interval, once=arguments.once)
        return EXIT_OK
    try:
        from prefork.cli.top.live import watch
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        raise PreforkError(
            "prefork top draws with rich, which is not installed: pip install 'prefork[top]' "
            "(prefork top --plain does without)"
        ) from None
    from prefork.cli.top.table import Sort
    from prefork.cli.top.ui import Ui

    ui = Ui(sort=Sort(_ORDERS[arguments.sort]))
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return watch(path, sample(path, MemoryWatch()), ui, arguments.interval, unicode=unicode)


def _has_screen() -> bool:
    return os.isatty(0) and os.isatty(1) and os.environ.get("TERM", "dumb") not in ("", "dumb")


COMMAND = Command(
    name="top",
    summary="watch the running server: workers, requests, rates, queues (h: help)",
    description="Watch a running server: what each worker does and for which request, how many requests it answers and how fast, "
    "what waits and what it costs. Keys sort, show stacks, recycle and pause; h shows them. Where the output is no "
    "terminal, a line for each interval. Exit code 0: left with q or Ctrl-C; 1: no server answers.",
    add_arguments=_add_arguments,
    run=_run,
)
