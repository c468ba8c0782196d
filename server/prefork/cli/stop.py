"""`prefork stop`. Runs in: cli."""

from __future__ import annotations

import argparse

from prefork.cli.steer import steering_command
from prefork.ipc.control import StopRequest


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fast", action="store_true", help="requests that run get one second")


COMMAND = steering_command(
    "stop",
    "stop the server, and wait until it has",
    "Stop after everything accepted or waiting is answered, and return when the server has ended.",
    lambda arguments: StopRequest(fast=arguments.fast),
    add_arguments=_add_arguments,
    patient=lambda _: True,
    until_end=True,
)
