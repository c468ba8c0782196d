"""`prefork reload`. Runs in: cli."""

from __future__ import annotations

from prefork.cli.steer import add_wait, steering_command
from prefork.ipc.control import ReloadRequest

COMMAND = steering_command(
    "reload",
    "load settings and application anew; if they do not work, nothing changes",
    "Start a new generation with the settings and the code as they are now; once it works it takes over, one worker "
    "at a time. With --wait, the application's own traceback says why if it does not.",
    lambda arguments: ReloadRequest(wait=arguments.wait),
    add_arguments=add_wait,
    patient=lambda arguments: bool(arguments.wait),
)
