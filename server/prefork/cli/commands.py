"""The table of commands: one module each, imported when it is needed, so that a start does not pay for all.

Owns: which commands exist. Runs in: cli. Must not know: what they do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from prefork.cli.command import Command

NAMES = (
    "run",
    "check",
    "config",
    "status",
    "top",
    "reload",
    "rollback",
    "scale",
    "recycle",
    "pause",
    "resume",
    "drain",
    "stop",
    "reopen-logs",
    "stacks",
    "upgrade",
    "systemd-unit",
    "init",
    "migrate",
    "completion",
    "manual",
)
"""In the order of the help. `reopen-logs` is the module `reopen_logs`."""


class _Commands(Mapping[str, Command]):
    def __getitem__(self, name: str) -> Command:
        if name not in NAMES:
            raise KeyError(name)
        command = import_module(f"prefork.cli.{name.replace('-', '_')}").COMMAND
        assert isinstance(command, Command), name
        return command

    def __contains__(self, name: object) -> bool:
        return name in NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


COMMANDS: Mapping[str, Command] = _Commands()
