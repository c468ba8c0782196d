"""`prefork rollback`. Runs in: cli."""

from __future__ import annotations

from prefork.cli.steer import add_wait, steering_command
from prefork.ipc.control import RollbackRequest

COMMAND = steering_command(
    "rollback",
    "bring back the generation before the last reload",
    "The generation before the last reload is kept in memory for workers.rollback_window. Bring it back, settings "
    "and code as they were; the one that served is kept in its place.",
    lambda arguments: RollbackRequest(wait=arguments.wait),
    add_arguments=add_wait,
    patient=lambda arguments: bool(arguments.wait),
)
