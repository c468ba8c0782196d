"""`prefork recycle`. Runs in: cli."""

from __future__ import annotations

from prefork.cli.steer import add_worker, steering_command
from prefork.ipc.control import RecycleRequest

COMMAND = steering_command(
    "recycle",
    "replace one worker, or all one after the other",
    "Replace workers by fresh ones of the same generation, one at a time, each after its replacement serves.",
    lambda arguments: RecycleRequest(worker=arguments.worker),
    add_arguments=add_worker,
)
