"""The shape that all commands to a running server share.

Owns: from arguments to a request, from its result to lines and an exit code. Runs in: cli. Must not know: which commands
there are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from prefork.cli.client import add_server_arguments, ask
from prefork.cli.command import Command
from prefork.cli.progress import ProgressLines, failure_lines
from prefork.errors import EXIT_FAILURE, EXIT_OK
from prefork.ipc.control import Request, Result
from prefork.settings.units import format_duration, parse_duration

_LONGEST_DELAY_S = 3600.0


def steering_command(
    name: str,
    summary: str,
    description: str,
    make_request: Callable[[argparse.Namespace], Request],
    *,
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    patient: Callable[[argparse.Namespace], bool] = lambda arguments: False,
    until_end: bool = False,
    show: Callable[[argparse.Namespace, Result], None] | None = None,
) -> Command:
    """A command that sends one request. `show` prints a good result; by default its one line."""

    def add(parser: argparse.ArgumentParser) -> None:
        add_arguments(parser)
        add_server_arguments(parser)

    def run(arguments: argparse.Namespace) -> int:
        request = make_request(arguments)
        steps = ProgressLines()
        try:
            result = ask(arguments, request, steps.tell, patient=patient(arguments), until_end=until_end)
        finally:
            steps.end()
        if not result.ok:
            for line in failure_lines(name, result):
                print(line, file=sys.stderr)
            return EXIT_FAILURE
        if show is not None:
            show(arguments, result)
        elif result.text:
            print(result.text)
        return EXIT_OK

    return Command(name, summary, f"{description} Exit code 0: done; 1: not, and why.", add, run)


def add_wait(parser: argparse.ArgumentParser) -> None:
    """`--wait`."""
    parser.add_argument(
        "--wait", action="store_true", help="print each step, and return when it is done or has failed"
    )


def add_delay(parser: argparse.ArgumentParser) -> None:
    """`--delay TIME`."""
    parser.add_argument(
        "--delay",
        type=_delay,
        metavar="TIME",
        help='how long to go on serving while not ready any more, such as "10s" (server.drain_delay)',
    )


def _delay(text: str) -> float:
    # Not for the commands without a delay: it takes the model of all settings.
    from prefork.settings.overrides import value_of

    try:
        seconds = parse_duration(value_of("server.drain_delay", text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None
    if not 0 <= seconds <= _LONGEST_DELAY_S:
        raise argparse.ArgumentTypeError(f"{text!r}: must be from 0s to {format_duration(_LONGEST_DELAY_S)}")
    return seconds


def worker_number(text: str) -> int:
    """The type of WORKER arguments."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def add_worker(parser: argparse.ArgumentParser) -> None:
    """An optional WORKER."""
    parser.add_argument(
        "worker",
        nargs="?",
        type=worker_number,
        metavar="WORKER",
        help="number of one worker; all if left out",
    )
