"""Becoming a prefork server.

Owns: the command line for what a caller wants, and the exec. Runs in: the process of a script or of a framework's tool,
which becomes the master: same pid, nothing of what it had imported. Must not know: frameworks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from prefork.errors import PreforkError

_SERVER = "prefork.zygote.main"


def is_in_server() -> bool:
    """Whether this is a process of a running server: whoever wants to start one here has been imported by it."""
    return _SERVER in sys.modules


def command_line(
    target: str,
    *,
    bind: str | Sequence[str] = (),
    workers: int | str | None = None,
    threads: int | None = None,
    config: str | os.PathLike[str] | None = None,
    dev: bool = False,
    path: Sequence[str] = (),
    options: Mapping[str, object] = {},
) -> list[str]:
    """What to execute. `options`: "table.key" -> value, as TOML has it; `path`: directories for the module search path, unless
    `options` has its own."""
    arguments = [sys.executable, "-m", "prefork", "run", target]
    if config is not None:
        arguments += ["--config", os.fspath(config)]
    for address in (bind,) if isinstance(bind, str) else bind:
        arguments += ["--bind", address]
    for option, value in (("--workers", workers), ("--threads", threads)):
        if value is not None:
            arguments += [option, str(value)]
    if dev:
        arguments.append("--dev")
    chosen = dict(options)
    if path:
        chosen.setdefault("app.path", list(path))
    from prefork.settings.tomltext import value as toml_value  # not in zygotes, which never come here

    for key, each in chosen.items():
        arguments += ["--set", f"{key}={toml_value(each)}"]
    return arguments


def search_path() -> list[str]:
    """Where this program's own modules are found and a server would not look: the directory of its script, if it is not the
    current one."""
    first = sys.path[0] if sys.path else ""
    absolute = os.path.abspath(first)  # noqa: PTH100
    is_script_directory = bool(first) and os.path.isdir(absolute) and absolute != os.getcwd()  # noqa: PTH109, PTH112
    return [absolute] if is_script_directory and not absolute.startswith(sys.prefix) else []


def become(arguments: Sequence[str]) -> NoReturn:
    """Execute it in this process. Exit handlers do not run, threads end. Raises `PreforkError` if it cannot be executed."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        os.execv(arguments[0], list(arguments))
    except OSError as error:
        raise PreforkError(f"cannot execute {arguments[0]}: {error.strerror}") from error
