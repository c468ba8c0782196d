"""Commands as data: their options and arguments, read off argparse.

Owns: that reading. Runs in: cli. Must not know: what it is for (manual, completion).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

import msgspec

from prefork.cli.command import Command, Parser


class Described(msgspec.Struct, frozen=True):
    """One option or argument."""

    names: tuple[str, ...]
    """With their dashes; none for an argument."""
    value: str
    """What stands for its value; empty if it takes none."""
    help: str
    choices: tuple[str, ...] = ()
    optional: bool = True

    @property
    def is_file(self) -> bool:
        """Its value is a path."""
        return self.value in ("FILE", "PATH")


class DescribedCommand(msgspec.Struct, frozen=True):
    """One command."""

    name: str
    summary: str
    description: str
    options: tuple[Described, ...]
    arguments: tuple[Described, ...]


def describe(commands: Iterable[Command]) -> list[DescribedCommand]:
    """All of them, in their order."""
    found = []
    for command in commands:
        parser = Parser(prog=f"prefork {command.name}", add_help=True, allow_abbrev=False)
        command.add_arguments(parser)
        items = [_described(action) for action in _actions(parser) if action.help != argparse.SUPPRESS]
        found.append(
            DescribedCommand(
                command.name,
                command.summary,
                command.description,
                tuple(item for item in items if item.names),
                tuple(item for item in items if not item.names),
            )
        )
    return found


def _actions(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    return parser._actions  # no other way to ask, in any release of Python


def _described(action: argparse.Action) -> Described:
    takes = action.nargs != 0
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    return Described(
        tuple(action.option_strings),
        metavar if takes else "",
        action.help or "",
        tuple(map(str, action.choices or ())),
        optional=bool(action.option_strings) or action.nargs == "?",
    )
