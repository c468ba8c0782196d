"""`prefork pause`. Runs in: cli."""

from __future__ import annotations

from prefork.cli.steer import steering_command
from prefork.ipc.control import PauseRequest

COMMAND = steering_command(
    "pause",
    "let all workers finish and leave; the server stays",
    "Let all workers finish and leave. The server stays, and clients wait until it resumes.",
    lambda _: PauseRequest(),
)
