"""`prefork systemd-unit`: unit files with the paths of this installation.

Owns: finding those paths, printing or writing. Runs in: cli. Must not know: what in a unit depends on them (see `units`).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from prefork.cli.catalog import catalog_text
from prefork.cli.command import Command, UsageError
from prefork.cli.units import (
    CONFIG,
    INSTANCE_CONFIG,
    Installation,
    escaped,
    other_text,
    service_text,
    socket_text,
    unreadable,
)
from prefork.errors import EXIT_FAILURE, EXIT_OK, ConfigError
from prefork.settings.listen import Listen
from prefork.settings.load import load
from prefork.settings.model import Settings

_OTHERS = {
    "hardened": ("prefork.service.d/hardened.conf", "a drop-in that forbids more"),
    "offline": (
        "prefork.service.d/offline.conf",
        "a drop-in without any network, for use with a socket unit",
    ),
    "sysusers": ("prefork.sysusers", "the file for systemd-sysusers: a lasting user"),
    "tmpfiles": ("prefork.tmpfiles", "the file for systemd-tmpfiles: directories for settings and keys"),
    "logrotate": ("prefork.logrotate", "the file for logrotate, if the log goes to files"),
    "catalog": ("prefork.catalog", "the message catalog, for the explanations of `journalctl -x`"),
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", metavar="FILE", help=f"settings file of the server (default: {CONFIG})"
    )
    parser.add_argument(
        "--instance", action="store_true", help="a template, for several servers: NAME@.service"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--socket",
        nargs="?",
        const="http",
        metavar="FDNAME",
        help="a socket unit, with the addresses of the settings file; with a name, only those that have this `name`",
    )
    for option, (_, help_text) in _OTHERS.items():
        what.add_argument(f"--{option}", dest="other", action="store_const", const=option, help=help_text)
    parser.add_argument(
        "--name", default="prefork", metavar="NAME", help="name of the unit (default: prefork)"
    )
    parser.add_argument("--user", metavar="USER", help="a user that exists; otherwise systemd makes one up")
    parser.add_argument(
        "-o", "--output", metavar="DIR", help="write the file into this directory instead of stdout"
    )
    parser.add_argument(
        "--force", action="store_true", help="with --output: replace a file that says something else"
    )


def _run(arguments: argparse.Namespace) -> int:
    if (
        not arguments.name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        or not arguments.name.isascii()
    ):
        raise UsageError("--name: letters, digits, '-', '_' and '.'", "prefork systemd-unit --help")
    if arguments.config and not arguments.instance and "%" not in arguments.config:
        arguments.config = os.path.abspath(arguments.config)  # noqa: PTH100
    settings = _settings(arguments)
    installation = _installation(arguments, settings)
    file, text = _file(arguments, installation, settings)
    if not arguments.socket and not arguments.other:
        _warn(installation)
    if arguments.output is None:
        sys.stdout.write(text)
        return EXIT_OK
    return _write(Path(arguments.output) / file, text, force=arguments.force)


def _file(
    arguments: argparse.Namespace, installation: Installation, settings: Settings | None
) -> tuple[str, str]:
    """Name and content."""
    at = "@" if arguments.instance else ""
    if arguments.other == "catalog":
        return f"{arguments.name}.catalog", catalog_text()
    if arguments.other:
        source = _OTHERS[arguments.other][0]
        # The names that those programs look for.
        name = {"sysusers": f"{arguments.name}.conf", "tmpfiles": f"{arguments.name}.conf"}.get(
            arguments.other, arguments.name if arguments.other == "logrotate" else Path(source).name
        )
        return name, other_text(source, installation)
    if arguments.socket:
        entries = _entries(arguments, settings)
        tail = "" if arguments.socket == "http" else f"-{arguments.socket}"
        text = socket_text(installation, entries, arguments.socket, instance=arguments.instance)
        return f"{arguments.name}{tail}{at}.socket", text
    return f"{arguments.name}{at}.service", service_text(installation, instance=arguments.instance)


def _entries(arguments: argparse.Namespace, settings: Settings | None) -> tuple[Listen, ...]:
    """What the socket unit is about. Raises ConfigError if the settings know nothing of that name."""
    if settings is None:
        print("prefork: without settings the address is an example; say which with -c FILE", file=sys.stderr)
        return ()
    names = sorted({entry.name or "http" for entry in settings.server.listen})
    if arguments.socket not in names:
        raise ConfigError(
            f"{arguments.config or CONFIG}: [server] listen has no entry with the name {arguments.socket!r}; "
            f"--socket takes one of: {', '.join(names)}"
        )
    return settings.server.listen


def _settings(arguments: argparse.Namespace) -> Settings | None:
    """Of the file, if it is there and right."""
    file = arguments.config or (None if arguments.instance else CONFIG)
    if file is None or not Path(file).exists():
        return None
    try:
        return load(file).settings
    except ConfigError as error:
        print(f"prefork: {error.problems[0]}", file=sys.stderr)
        return None


def _installation(arguments: argparse.Namespace, settings: Settings | None) -> Installation:
    config = arguments.config or (INSTANCE_CONFIG if arguments.instance else CONFIG)
    script = Path(sys.executable).parent / "prefork"
    paths = [sys.executable, os.path.realpath(sys.executable), str(Path(__file__).resolve())]
    if settings is not None:
        app = settings.app
        paths += [path for path in (app.chdir, app.python, *app.path) if path]
    command = escaped(str(script)) if os.access(script, os.X_OK) else f"{escaped(sys.executable)} -m prefork"
    return Installation(command, config, arguments.name, arguments.user, paths)


def _warn(installation: Installation) -> None:
    def mode_of(directory: str) -> int:
        try:
            return Path(directory).stat().st_mode
        except OSError:
            return 0

    directory = unreadable(installation, mode_of)
    if directory is not None:
        print(
            f"prefork: {directory} is closed to the user that systemd makes up: install where others may read (/opt, /srv), or "
            "name the owner with --user",
            file=sys.stderr,
        )


def _write(path: Path, text: str, *, force: bool) -> int:
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text and not force:
            print(f"prefork: {path} says something else; --force replaces it", file=sys.stderr)
            return EXIT_FAILURE
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        print(f"prefork: cannot write {path}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILURE
    print(path)
    return EXIT_OK


COMMAND = Command(
    name="systemd-unit",
    summary="print unit files with the paths of this installation",
    description="Print a unit for systemd in which the paths are those of this installation and settings file: a service, or "
    "what one of the options below says. `prefork systemd-unit -c /etc/shop/server.toml --name shop -o /etc/systemd/system`, "
    "then `systemctl daemon-reload`, `systemctl enable --now shop`.",
    add_arguments=_add_arguments,
    run=_run,
)
