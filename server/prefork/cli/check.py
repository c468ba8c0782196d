"""`prefork check`: would a server with these settings start?

Owns: what is said about it. Runs in: cli. Must not know: how the application is imported (in a child, exactly as a
zygote would).
"""

from __future__ import annotations

import argparse
import sys
import time

from prefork.cli.arguments import add_settings_arguments, settings_source
from prefork.cli.command import Command
from prefork.errors import EXIT_OK, BootError, ConfigError
from prefork.settings.model import Settings


def _run(arguments: argparse.Namespace) -> int:
    from prefork.master.handover import take

    # A master that wants to become this release asks whether it can; there is nothing of it otherwise.
    take()
    source = settings_source(arguments)
    settings = source.load().settings
    from prefork.master.resources import check_log

    try:
        check_log(settings)
    except ConfigError as error:
        raise ConfigError([f"{source}: {problem}" for problem in error.problems]) from error
    from prefork.master.tls import read_tls_files

    tls = read_tls_files(settings, time.time)
    for warning in () if tls is None else tls.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    _check_metrics(settings)
    print(f"settings: right ({source})", flush=True)

    from prefork.master.trial import try_application

    try:
        try_application(settings)
    except BootError as error:
        if error.traceback:
            print(error.traceback.rstrip("\n"), file=sys.stderr)
        raise
    print(f"application: imports ({settings.app.target})")
    return EXIT_OK


def _check_metrics(settings: Settings) -> None:
    if settings.status.listen:
        from prefork.status.exposition import NotInstalledError, require

        try:
            require()
        except NotInstalledError as error:
            print(f"warning: [status] listen: {error}", file=sys.stderr)


COMMAND = Command(
    name="check",
    summary="check settings, and import the application once",
    description="Check settings, then import the application in a process of its own. Nothing is bound or served. "
    "Exit code 0: all is well; 78: the settings are wrong; 3: the application does not import.",
    add_arguments=add_settings_arguments,
    run=_run,
)
