"""What a command is.

Owns: the interface between the table of commands and the modules that hold one each. Runs in: cli. Must not know:
which commands exist.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

import msgspec


class UsageError(Exception):
    """The arguments make no command. The text is one line; `help_command` shows more."""

    def __init__(self, text: str, help_command: str = "prefork --help") -> None:
        super().__init__(text)
        self.help_command = help_command


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is an exception: only `main` ends the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"{self.prog} --help")

    def option_names(self) -> list[str]:
        """Every option it knows, with its dashes."""
        return [name for action in self._actions for name in action.option_strings]


class Command(msgspec.Struct, frozen=True):
    """One word after `prefork`."""

    name: str
    summary: str
    """A few words for the list of commands."""
    description: str
    """A paragraph for its own help."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    """Returns the exit code; raises `UsageError`, `PreforkError`."""
