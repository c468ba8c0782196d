"""`prefork stop`. Runs in: cli."""

from __future__ import annotations

import argparse

from prefork.cli.steer import add_delay, steering_command
from prefork.ipc.control import StopRequest


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_delay(parser)
    parser.add_argument("--fast", action="store_true", help="requests that run get one second")


COMMAND = steering_command(
    "stop",
    "stop the server, and wait until it has",
    "Stop after everything accepted or waiting is answered, and return when the server has ended. With a delay (--delay, "
    "server.drain_delay) it goes on serving first, not ready any more.",
    lambda arguments: StopRequest(fast=arguments.fast, delay_s=arguments.delay),
    add_arguments=_add_arguments,
    patient=lambda _: True,
    until_end=True,
)
