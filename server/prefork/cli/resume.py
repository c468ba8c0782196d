"""`prefork resume`. Runs in: cli."""

from __future__ import annotations

from prefork.cli.steer import steering_command
from prefork.ipc.control import ResumeRequest

COMMAND = steering_command(
    "resume",
    "end a pause",
    "Start the workers again after a pause.",
    lambda _: ResumeRequest(),
)
