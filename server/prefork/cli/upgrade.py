"""`prefork upgrade`. Runs in: cli."""

from __future__ import annotations

from prefork.cli.steer import steering_command
from prefork.ipc.control import UpgradeRequest

COMMAND = steering_command(
    "upgrade",
    "take on the prefork that is installed now",
    "Execute the server anew with the prefork that is installed now: same process number, no request lost.",
    lambda _: UpgradeRequest(),
    patient=lambda _: True,
)
