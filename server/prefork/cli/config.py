"""`prefork config`: the settings in effect, all keys that exist, the schema.

Owns: choosing what to print. Runs in: cli. Must not know: how it is written (see `settings.reference`,
`settings.schema`).
"""

from __future__ import annotations

import argparse
import sys

from prefork.cli.arguments import add_settings_arguments, settings_source
from prefork.cli.command import Command
from prefork.errors import EXIT_OK
from prefork.settings.reference import effective_text, reference_text
from prefork.settings.schema import schema_text
from prefork.settings.thismachine import in_numbers


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--reference", action="store_true", help="print a settings file with every key explained"
    )
    what.add_argument("--schema", action="store_true", help="print the JSON schema of settings files")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        sys.stdout.write(schema_text())
    elif arguments.reference:
        sys.stdout.write(reference_text())
    else:
        loaded = settings_source(arguments).load()
        sys.stdout.write(effective_text(loaded.settings, loaded.origins, in_numbers(loaded.settings)))
    return EXIT_OK


COMMAND = Command(
    name="config",
    summary="print the settings in effect and where each came from",
    description="Print the settings in effect as TOML, each with its origin.",
    add_arguments=_add_arguments,
    run=_run,
)
