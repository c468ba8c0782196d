"""`flask prefork`.

Owns: the command (an entry point of the group `flask.commands`). Runs in: the process of `flask`, which becomes the master.
Must not know: how the server is started.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from flask.cli import ScriptInfo, pass_script_info
from flask.helpers import get_debug_flag

from prefork.cli.command import UsageError
from prefork.cli.devtarget import choose
from prefork.contrib.launch import become, command_line
from prefork.contrib.objects import target_of
from prefork.errors import PreforkError


@click.command("prefork", short_help="Serve the application with prefork.")
@click.option("--host", "-h", default=None, help="The interface to bind to. Default: 127.0.0.1.")
@click.option("--port", "-p", type=click.IntRange(0, 65535), default=None, help="The port. Default: 8000.")
@click.option("--bind", "-b", multiple=True, help='Or whole addresses: "host:port", "unix:path". Repeatable.')
@click.option("--workers", "-w", default=None, help='Worker processes, or "auto".')
@click.option("--threads", "-t", type=click.IntRange(1), default=None, help="Threads of each worker.")
@click.option("--config", "-c", type=click.Path(exists=True, dir_okay=False), help="A settings file (TOML).")
@click.option(
    "--dev/--no-dev",
    default=None,
    help="Reload on change, errors on the page, debugger. Default: as flask --debug says.",
)
@click.option(
    "--set", "assignments", multiple=True, metavar="TABLE.KEY=VALUE", help="Any other setting. Repeatable."
)
@pass_script_info
def command(
    info: ScriptInfo,
    host: str | None,
    port: int | None,
    bind: tuple[str, ...],
    workers: str | None,
    threads: int | None,
    config: str | None,
    dev: bool | None,
    assignments: tuple[str, ...],
) -> None:
    """Serve the application with prefork: processes, threads, graceful reload.

    The process becomes the server; Ctrl-C stops it.
    """
    addresses = list(bind)
    if host is not None or port is not None:
        name = host or "127.0.0.1"
        number = 8000 if port is None else port
        addresses.append(f"[{name}]:{number}" if ":" in name and name[0] != "[" else f"{name}:{number}")
    try:
        target, path = _target(info)
        arguments = command_line(
            target,
            bind=addresses,
            workers=workers,
            threads=threads,
            config=config,
            dev=get_debug_flag() if dev is None else dev,
            path=[path] if path else [],
        )
        for each in assignments:
            arguments += ["--set", each]
        become(arguments)
    except (PreforkError, UsageError) as error:
        raise click.ClickException(str(error)) from error


def _target(info: ScriptInfo) -> tuple[str, str]:
    """From the source if that says it; else the application is made, and looked for."""
    if info.create_app is None:
        environment = {"FLASK_APP": info.app_import_path} if info.app_import_path else os.environ
        chosen = choose(None, environment, Path.cwd())
        if chosen is not None:
            return chosen.target, chosen.path
    return target_of(info.load_app()), ""
