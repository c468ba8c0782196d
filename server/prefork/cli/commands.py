"""The table of commands: one module each.

Owns: which commands exist. Runs in: cli. Must not know: what they do.
"""

from __future__ import annotations

from prefork.cli import (
    check,
    config,
    drain,
    pause,
    recycle,
    reload,
    reopen_logs,
    resume,
    rollback,
    run,
    scale,
    stacks,
    status,
    stop,
    systemd_unit,
    top,
    upgrade,
)
from prefork.cli.command import Command

_MODULES = (
    run,
    check,
    config,
    status,
    top,
    reload,
    rollback,
    scale,
    recycle,
    pause,
    resume,
    drain,
    stop,
    reopen_logs,
    stacks,
    upgrade,
    systemd_unit,
)

COMMANDS: dict[str, Command] = {module.COMMAND.name: module.COMMAND for module in _MODULES}
