"""`prefork scale`. Runs in: cli."""

from __future__ import annotations

import argparse

from prefork.cli.command import UsageError
from prefork.cli.steer import steering_command
from prefork.ipc.control import ScaleRequest

_MOST = 4096


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    # "-1" is a number here, not an option: argparse takes it as one while no option looks like a number.
    parser.add_argument("count", metavar="N|+N|-N", help="how many workers, or how many more or fewer")


def _request(arguments: argparse.Namespace) -> ScaleRequest:
    text: str = arguments.count
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 4 or int(digits) > _MOST:
        raise UsageError(
            f"{text}: must be a number of workers up to {_MOST}, +N or -N", "prefork scale --help"
        )
    number = int(text)
    return ScaleRequest(to=number) if digits == text else ScaleRequest(by=number)


COMMAND = steering_command(
    "scale",
    "change the number of workers (N, +N or -N)",
    "Change the number of workers until the settings change it.",
    _request,
    add_arguments=_add_arguments,
)
