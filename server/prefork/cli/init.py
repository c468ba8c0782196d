"""`prefork init`: asks what to serve, and writes a commented settings file.

Owns: the questions and what becomes of the answers. Runs in: cli. Must not know: what a file says (see `template`), how an
application is found (see `detect`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from prefork.cli.command import Command, UsageError
from prefork.cli.detect import Application, applications, environments, has_prefork
from prefork.cli.newfile import verify, write
from prefork.cli.template import Choices, settings_text
from prefork.errors import EXIT_FAILURE, EXIT_OK, ConfigError
from prefork.settings.load import load
from prefork.settings.overrides import Override, value_of

_FILE = "server.toml"
_BIND = "127.0.0.1:8000"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--app", metavar="MODULE:APP", help="the application, instead of looking for it")
    parser.add_argument("--bind", metavar="ADDRESS", help=f'"host:port" or "unix:path" ({_BIND})')
    parser.add_argument("--workers", metavar="N", help='worker processes, or "auto" (auto)')
    parser.add_argument("--threads", metavar="N", help="threads of each worker (4)")
    parser.add_argument(
        "--proxied", action="store_true", help="nginx or another proxy on this machine is in front"
    )
    parser.add_argument("--status", metavar="ADDRESS", help="where health checks and metrics are (nowhere)")
    parser.add_argument("-o", "--output", metavar="FILE", default=_FILE, help=f"the file to write ({_FILE})")
    parser.add_argument(
        "-y", "--yes", action="store_true", help="ask nothing: take what is found, and defaults"
    )
    parser.add_argument("-f", "--force", action="store_true", help="write over a file that is there")


def _run(arguments: argparse.Namespace) -> int:
    directory = Path.cwd()
    output = directory / arguments.output
    if output.exists() and not arguments.force:
        print(
            f"prefork: {output} is there already; --force writes over it, --output FILE another",
            file=sys.stderr,
        )
        return EXIT_FAILURE
    choices = _choices(arguments, directory, output)
    text = settings_text(choices)
    verify(text, output.parent)
    try:
        write(output, text, force=arguments.force)
    except FileExistsError:
        print(f"prefork: {output} has just been made by somebody else", file=sys.stderr)
        return EXIT_FAILURE
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written: {error.strerror}") from error
    print(
        f"written: {output}\nnext:    prefork check -c {arguments.output}\n         prefork -c {arguments.output}"
    )
    return EXIT_OK


def _choices(arguments: argparse.Namespace, directory: Path, output: Path) -> Choices:
    ask = _silent if arguments.yes else _asker()
    found = applications(directory)
    target = _target(arguments.app, found, ask)
    bind = _answer("server.listen", arguments.bind, "Address to listen on", _BIND, ask)
    workers = _answer(
        "workers.count", arguments.workers, 'Worker processes ("auto": one for each CPU)', "auto", ask
    )
    threads = _answer("workers.threads", arguments.threads, "Threads of each", "4", ask)
    proxied = arguments.proxied
    if not proxied and not arguments.yes:
        proxied = (
            ask("Is a proxy such as nginx on this machine in front? (yes, no)", "no").lower().startswith("y")
        )
    if arguments.status is not None:
        _check("status.listen", arguments.status)
    return Choices(
        target=target,
        listen=bind,
        directory="." if output.parent == directory else str(directory),
        workers=value_of("workers.count", workers),
        threads=int(threads),
        python=_python(directory, output),
        proxied=proxied,
        status=arguments.status,
    )


def _target(given: str | None, found: list[Application], ask: Callable[[str, str], str]) -> str:
    if given is None:
        for application in found:
            print(f"found: {application.target} ({application.framework}, {application.file})")
    default = found[0].target if found else ""
    if given is None and not default and ask is _silent:
        raise UsageError("found no application here; say which with --app MODULE:APP", "prefork init --help")
    return _answer("app.target", given, "Application (MODULE:APP)", default, ask)


def _python(directory: Path, output: Path) -> str | None:
    """The interpreter of the application's own environment, if that is another one and has prefork."""
    for python in environments(directory):
        if python.parent.parent.resolve() == Path(sys.prefix).resolve():
            continue
        if has_prefork(python):
            return os.path.relpath(python, output.parent)
        print(f"note: {python.parent.parent} has no prefork; install it there, and start it from there")
    return None


def _answer(key: str, given: str | None, question: str, default: str, ask: Callable[[str, str], str]) -> str:
    """What was given, or else an answer that the settings take. Raises ConfigError for one that was given and is wrong."""
    if given is not None:
        _check(key, given)
        return given
    while True:
        text = ask(question, default)
        try:
            _check(key, text)
            return text
        except ConfigError as error:
            if ask is _silent:
                raise
            print(error)


def _check(key: str, text: str) -> None:
    overrides = [Override("app.target", "a:b", "default"), Override(key, value_of(key, text), "answer")]
    load(None, overrides, directory=Path.cwd())


def _silent(question: str, default: str) -> str:
    return default


def _asker() -> Callable[[str, str], str]:
    def ask(question: str, default: str) -> str:
        hint = f" [{default}]" if default else ""
        try:
            return input(f"{question}{hint}: ").strip() or default
        except EOFError:
            print()
            raise UsageError("nobody answers; --yes asks nothing", "prefork init --help") from None

    return ask


COMMAND = Command(
    name="init",
    summary="write a settings file, after asking what to serve",
    description="Look for a WSGI application in this directory (Django, Flask, anything with a wsgi.py or app.py), ask what "
    "is not clear, and write a commented settings file. Nothing is imported, and no file is written over unless asked to.",
    add_arguments=_add_arguments,
    run=_run,
)
