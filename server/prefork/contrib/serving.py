"""`prefork.serve`: an application served by the script that made it.

Owns: the function. Runs in: the process of the script, which becomes the master. Must not know: how the application is found
or the server started.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prefork.contrib.launch import become, command_line, is_in_server, search_path
from prefork.contrib.objects import target_of
from prefork.errors import PreforkError


def serve(
    app: str | Callable[..., Any],
    *,
    bind: str | Sequence[str] = (),
    workers: int | str | Mapping[str, object] | None = None,
    threads: int | None = None,
    config: str | os.PathLike[str] | None = None,
    dev: bool = False,
    **settings: Mapping[str, object],
) -> None:
    """Serve `app` until the server is told to stop. The process becomes the server, so nothing after the call is run.

    `app`: "module:name", or an application that has a name at the top of a module or of the script. `bind`: address, or
    several. `config`: a settings file, under everything given here. `settings`: whole tables, such as `requests={"timeout":
    30}`; `workers` is a number, "auto", or such a table. `dev` is `prefork --dev`.

    In a process of a running server, which has imported the script, it does nothing. Raises `PreforkError` if the application
    could not be found by other processes, TypeError for a table that is none.
    """
    if is_in_server():
        return
    tables = dict(settings)
    if isinstance(workers, Mapping):
        tables["workers"] = workers
        workers = None
    options: dict[str, object] = {}
    for table, entries in tables.items():
        if not isinstance(entries, Mapping):
            raise TypeError(f"serve() takes tables of settings: write {table}={{...}}")
        options.update((f"{table}.{key}", value) for key, value in entries.items())
    target = target_of(app)
    try:
        arguments = command_line(
            target,
            bind=bind,
            workers=workers,
            threads=threads,
            config=config,
            dev=dev,
            path=search_path(),
            options=options,
        )
    except (TypeError, ValueError) as error:
        raise PreforkError(f"a setting has no form in TOML: {error}") from error
    become(arguments)
