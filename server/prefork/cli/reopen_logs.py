"""`prefork reopen-logs`. Runs in: cli."""

from __future__ import annotations

from prefork.cli.steer import steering_command
from prefork.ipc.control import ReopenLogsRequest

COMMAND = steering_command(
    "reopen-logs",
    "open the log files anew, after they were renamed",
    "Open the log files anew, in all processes.",
    lambda _: ReopenLogsRequest(),
)
