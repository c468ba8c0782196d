"""`prefork run`: the server.

Owns: the way from arguments to the master. Runs in: the process that becomes the master. Must not know: how serving
is done.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from prefork.cli.arguments import add_settings_arguments, settings_source
from prefork.cli.command import Command

if TYPE_CHECKING:
    from prefork.master.upgrade import Program


def _run(arguments: argparse.Namespace) -> int:
    source = settings_source(arguments)

    # Here, so that commands which only read settings do not load the machinery of processes.
    from prefork.master.startup import serve

    return serve(lambda: source.load().settings, program=_program())


def _program() -> Program | None:
    """How this process was started: `python -m prefork ...`, or a script that an interpreter was given."""
    from prefork.master.upgrade import Program

    given = sys.argv[1:]
    before = len(sys.orig_argv) - len(given)
    if not sys.executable or sys.orig_argv[before:] != given:
        return None
    start = sys.orig_argv[1:before]
    settings = given[1:] if given[:1] == ["run"] else given
    return Program(sys.executable, run=[*start, *given], check=[*start, "check", *settings])


COMMAND = Command(
    name="run",
    summary='run the server (the word "run" can be left out)',
    description="Run the server in the foreground until it is told to stop.",
    add_arguments=add_settings_arguments,
    run=_run,
)
