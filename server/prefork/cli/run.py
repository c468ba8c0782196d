"""`prefork run`: the server.

Owns: the way from arguments to the master. Runs in: the process that becomes the master. Must not know: how serving
is done.
"""

from __future__ import annotations

import argparse

from prefork.cli.arguments import add_settings_arguments, settings_source
from prefork.cli.command import Command


def _run(arguments: argparse.Namespace) -> int:
    source = settings_source(arguments)

    # Here, so that commands which only read settings do not load the machinery of processes.
    from prefork.master import serve

    return serve(lambda: source.load().settings)


COMMAND = Command(
    name="run",
    summary='run the server (the word "run" can be left out)',
    description="Run the server in the foreground until it is told to stop.",
    add_arguments=add_settings_arguments,
    run=_run,
)
