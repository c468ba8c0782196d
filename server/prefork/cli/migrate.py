"""`prefork migrate`: the settings of another server as a settings file.

Owns: which text is read, where the result goes, and what is said on standard error. Runs in: cli. Must not know: what any option
means (see `prefork.migrate`).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from prefork.cli.command import Command, UsageError
from prefork.cli.detect import applications
from prefork.cli.newfile import verify, write
from prefork.errors import EXIT_FAILURE, EXIT_OK, ConfigError
from prefork.migrate import arguments as command_lines
from prefork.migrate.documentation import page
from prefork.migrate.draft import Given, Migration, Note, World
from prefork.migrate.reading import (
    SOURCES,
    command_in,
    kind_of,
    layered,
    migrate_arguments,
    migrate_file,
    migration,
)
from prefork.migrate.writer import note_lines, settings_text

_LARGEST = 1 << 20
_HELP = "prefork migrate --help"

_LINES = {"gunicorn": "--gunicorn", "uwsgi": "--uwsgi", "waitress": "--waitress", "mod_wsgi": "--mod-wsgi"}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="gunicorn.conf.py, uwsgi.ini, .yaml, .xml, .json (FILE:SECTION for another section), or a script, Procfile or unit "
        "that starts one of the servers",
    )
    for kind, option in _LINES.items():
        parser.add_argument(
            option, metavar="ARGS", help=f"arguments of {SOURCES[kind].say}, in quotes; over those of FILE"
        )
    parser.add_argument(
        "--from", dest="kind", choices=tuple(SOURCES), help="whose settings FILE has, instead of looking"
    )
    parser.add_argument("--app", metavar="MODULE:APP", help="the application, if they do not say")
    parser.add_argument(
        "--directory",
        metavar="DIR",
        default=".",
        help="where the old server was started: its relative paths start there (.)",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write (standard output)")
    parser.add_argument("-f", "--force", action="store_true", help="write over a file that is there")
    parser.add_argument(
        "--tables", action="store_true", help="print what becomes of every option (docs/migrate.md)"
    )


def _run(arguments: argparse.Namespace) -> int:
    if arguments.tables:
        sys.stdout.write(page())
        return EXIT_OK
    output = None if arguments.output is None else Path.cwd() / arguments.output
    if output is not None and output.exists() and not arguments.force:
        print(
            f"prefork: {output} is there already; --force writes over it, --output FILE another",
            file=sys.stderr,
        )
        return EXIT_FAILURE
    done = _migration(arguments, Path.cwd() if output is None else output.parent)
    text = settings_text(done)
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        try:
            write(output, text, force=arguments.force)
        except OSError as error:
            raise ConfigError(f"{output}: cannot be written: {os.strerror(error.errno or 0)}") from error
    for line in note_lines(done):
        print(line, file=sys.stderr)
    for problem in _problems(text, Path.cwd() if output is None else output.parent):
        print(f"to be mended: {problem}", file=sys.stderr)
    if output is not None:
        print(f"written: {output}\nnext:    prefork check -c {arguments.output}")
    return EXIT_OK


def _migration(arguments: argparse.Namespace, directory: Path) -> Migration:
    started = os.path.abspath(arguments.directory)  # noqa: PTH100 - links are kept
    world = World(
        lambda name: _text(os.path.join(started, name)),  # noqa: PTH118
        os.path.exists,
        started,
        str(directory),
    )
    kind, given, notes = _given(arguments, world)
    done = migration(kind, given, notes, world, arguments.app)
    if done.target is not None:
        return done
    found = applications(Path(started))
    if not found:
        for line in note_lines(done):
            print(line, file=sys.stderr)
        raise ConfigError(
            "they name no application, and none was found there; say which with --app MODULE:APP"
        )
    print(
        f"found: {found[0].target} ({found[0].file}); the settings do not name it, --app says another",
        file=sys.stderr,
    )
    return migration(kind, given, notes, world, found[0].target)


def _given(arguments: argparse.Namespace, world: World) -> tuple[str, list[Given], list[Note]]:
    lines = {kind: getattr(arguments, kind) for kind in _LINES if getattr(arguments, kind) is not None}
    if len(lines) > 1:
        raise UsageError(f"one server at a time: {' or '.join(_LINES[kind] for kind in lines)}", _HELP)
    if arguments.file is None and not lines:
        raise UsageError("name a file, or give the arguments of a command line (--gunicorn ARGS, ...)", _HELP)
    kind = next(iter(lines), arguments.kind)
    given: list[Given] = []
    notes: list[Note] = []
    if arguments.file is not None:
        name, section = _file_and_section(arguments.file)
        text = _text(os.path.abspath(name))  # noqa: PTH100
        found = kind or kind_of(name, text)
        if found == "command":
            kind = (
                command_lines.without_program(command_lines.split(command_in(text) or "", name))[0]
                or "gunicorn"
            )
            given, notes = migrate_arguments(kind, command_in(text) or "", world)
        else:
            kind = found
            given, notes = migrate_file(kind, os.path.abspath(name), text, world, section)  # noqa: PTH100
    assert kind is not None
    if kind in lines:
        above, more = migrate_arguments(kind, lines[kind], world)
        given, notes = layered(given, above), [*notes, *more]
    return kind, given, notes


def _file_and_section(text: str) -> tuple[str, str]:
    name, colon, section = text.rpartition(":")
    return (name, section) if colon and not os.path.exists(text) else (text, "")  # noqa: PTH110


def _text(path: str) -> str:
    """The text of a file. Raises ConfigError with one line."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {os.strerror(error.errno or 0)}") from error
    except ValueError as error:  # a NUL in the name
        raise ConfigError(f"{path!r}: cannot be read: {error}") from error
    if len(content) > _LARGEST:
        raise ConfigError(f"{path}: is larger than {_LARGEST >> 20} MiB, which no settings file is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line}: is not UTF-8") from error


def _problems(text: str, directory: Path) -> tuple[str, ...]:
    """What `prefork check` would find before it imports anything: certificates that are not on this machine, say."""
    try:
        verify(text, directory)
    except ConfigError as error:
        return tuple(re.sub(r"^\S+\.toml: ", "", problem) for problem in error.problems)
    return ()


COMMAND = Command(
    name="migrate",
    summary="write a settings file from that of gunicorn, uWSGI, waitress or mod_wsgi",
    description="Read the settings of another server, and write those of prefork that mean the same: each line says what it came "
    "from, and the end of the file (and standard error) what has no equivalent or is not quite the same. Nothing that is read is "
    "executed. `prefork check` says whether the result works.",
    add_arguments=_add_arguments,
    run=_run,
)
