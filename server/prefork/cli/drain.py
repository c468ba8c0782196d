"""`prefork drain`. Runs in: cli."""

from __future__ import annotations

import argparse

from prefork.cli.steer import add_delay, steering_command
from prefork.ipc.control import DrainRequest


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_delay(parser)
    parser.add_argument("--no-wait", action="store_true", help="return at once instead of after the delay")


COMMAND = steering_command(
    "drain",
    "be ready no more, and serve on until balancers have noticed",
    "Say that the server is not ready any more (/readyz answers 503, the agent drain), go on serving, and return when the "
    "balancers in front have had the time to notice. Then stop it, or make it ready again with `prefork resume`.",
    lambda arguments: DrainRequest(delay_s=arguments.delay, wait=not arguments.no_wait),
    add_arguments=_add_arguments,
    patient=lambda _: True,
)
