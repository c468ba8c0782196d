"""Where settings come from, as arguments.

Owns: the options shared by the commands that load settings. Runs in: cli. Must not know: what settings mean.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from prefork.cli.command import UsageError
from prefork.errors import ConfigError
from prefork.settings.load import Loaded, load
from prefork.settings.overrides import Override, parse_assignment, value_of


class SettingsSource(msgspec.Struct, frozen=True):
    """A file and what the command line lays over it; can be loaded again and again, as a reload does."""

    file: str | None
    """Absolute: the file is found again whatever becomes of the current directory."""
    overrides: tuple[Override, ...]
    directory: str

    def load(self) -> Loaded:
        """Read everything anew. Raises `ConfigError`."""
        return load(self.file, self.overrides, directory=self.directory)

    def __str__(self) -> str:
        return self.file or "the command line"


def add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    """`-c FILE`, `MODULE:APP` and everything that overrides a key."""
    parser.add_argument("-c", "--config", metavar="FILE", help="settings file (TOML)")
    parser.add_argument("target", nargs="?", metavar="MODULE:APP", help="the application (app.target)")
    parser.add_argument(
        "--bind",
        action="append",
        metavar="ADDRESS",
        help='"host:port" or "unix:path", instead of server.listen; may be given several times',
    )
    parser.add_argument("--workers", metavar="N", help='worker processes, or "auto" (workers.count)')
    parser.add_argument("--threads", metavar="N", help="threads of each worker (workers.threads)")
    parser.add_argument(
        "--dev",
        action="store_true",
        help="development: one worker with threads, reload when a file changes, errors on the page, Werkzeug's debugger, "
        "access log, .env; without MODULE:APP the one of FLASK_APP, wsgi.py, app.py, ...",
    )
    parser.add_argument(
        "--no-debugger", action="store_true", help="with --dev: no interactive debugger (dev.debugger)"
    )
    parser.add_argument(
        "--no-reload", action="store_true", help="with --dev: files are not watched (dev.reload)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="override any key of the settings file, such as requests.max_body=1GiB; may be given several times",
    )


def settings_source(arguments: argparse.Namespace) -> SettingsSource:
    """What the arguments say. Raises `UsageError` if they name no application, `ConfigError` for a bad --set."""
    overrides: list[Override] = []
    if arguments.dev:
        overrides += _for_development(arguments)
    elif arguments.target is not None:
        overrides.append(Override("app.target", arguments.target, "command line"))
    if arguments.bind:
        overrides.append(Override("server.listen", arguments.bind, "--bind"))
    for key, text, option in (
        ("workers.count", arguments.workers, "--workers"),
        ("workers.threads", arguments.threads, "--threads"),
    ):
        if text is not None:
            overrides.append(Override(key, value_of(key, text), option))
    overrides += map(parse_assignment, arguments.set)  # last: it is the strongest
    if (arguments.no_debugger or arguments.no_reload) and not arguments.dev:
        raise UsageError("--no-debugger and --no-reload go with --dev")
    if arguments.config is None and not any(override.key == "app.target" for override in overrides):
        if arguments.dev:
            raise UsageError("no application was found here: write MODULE:APP, or set FLASK_APP")
        raise UsageError("name a settings file (-c FILE) or an application (MODULE:APP)")
    directory = _current_directory()
    file = os.path.join(directory, arguments.config) if arguments.config is not None else None  # noqa: PTH118
    return SettingsSource(file, tuple(overrides), directory)


def _for_development(arguments: argparse.Namespace) -> Iterator[Override]:
    """What `--dev` sets, and the application it finds."""
    from prefork.cli.devtarget import choose
    from prefork.settings.dev import OVER_THE_FILE

    for key, value in OVER_THE_FILE:
        yield Override(key, value, "--dev")
    if arguments.config is not None:
        yield Override("dev.restart", [arguments.config], "--dev")
    if arguments.no_debugger:
        yield Override("dev.debugger", False, "--no-debugger")
    if arguments.no_reload:
        yield Override("dev.reload", "off", "--no-reload")
    if arguments.config is not None and arguments.target is None:
        return
    chosen = choose(arguments.target, os.environ, Path(_current_directory()))
    if chosen is not None:
        yield Override("app.target", chosen.target, chosen.origin)
        if chosen.path:
            yield Override("app.path", [chosen.path], chosen.origin)


def _current_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - settings hold paths as texts
    except OSError as error:  # somebody removed it
        raise ConfigError(f"the current directory: {os.strerror(error.errno or 0)}") from error
