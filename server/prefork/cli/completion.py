"""`prefork completion`. Runs in: cli."""

from __future__ import annotations

import argparse
import sys

from prefork.cli.command import Command
from prefork.cli.commands import COMMANDS
from prefork.cli.described import describe
from prefork.cli.shells import SHELLS
from prefork.errors import EXIT_OK
from prefork.settings.model import TABLES


def script(shell: str) -> str:
    """The completion for one shell."""
    keys = [f"{name}.{key}" for name, table in TABLES.items() for key in table.options if not table.whole]
    return SHELLS[shell](describe(COMMANDS.values()), keys)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish")


def _run(arguments: argparse.Namespace) -> int:
    sys.stdout.write(script(arguments.shell))
    return EXIT_OK


COMMAND = Command(
    name="completion",
    summary="print the completion for a shell (bash, zsh, fish)",
    description="Print a script that completes prefork's commands and options. An installation has it where shells look; "
    'elsewhere: eval "$(prefork completion bash)", source <(prefork completion zsh), prefork completion fish | source.',
    add_arguments=_add_arguments,
    run=_run,
)
