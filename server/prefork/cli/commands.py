"""The table of commands: one module each.

Owns: which commands exist. Runs in: cli. Must not know: what they do.
"""

from __future__ import annotations

from prefork.cli import check, config, run
from prefork.cli.command import Command

COMMANDS: dict[str, Command] = {
    command.name: command for command in (run.COMMAND, check.COMMAND, config.COMMAND)
}
