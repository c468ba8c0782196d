"""`prefork manual`: the pages prefork(1) and prefork.toml(5).

Owns: what is in them, made of argparse, the settings' model and the tables of facts. Runs in: cli. Must not know: roff.
"""

from __future__ import annotations

import argparse
import sys

from prefork.cli.command import Command
from prefork.cli.commands import COMMANDS
from prefork.cli.described import Described, DescribedCommand, describe
from prefork.cli.facts import EXIT_CODES, SIGNALS, VARIABLES
from prefork.cli.roff import Page, bold, italic
from prefork.errors import EXIT_OK
from prefork.settings import tomltext
from prefork.settings.model import TABLES
from prefork.settings.options import Option
from prefork.version import __version__

_DATE = "2026-11-21"
"""Of the last change to what is written here; pages are the same wherever they are made."""

PAGES = {"prefork.1": 1, "prefork.toml.5": 5}


def page(name: str) -> str:
    """One of PAGES, as roff."""
    return _commands_page() if PAGES[name] == 1 else _settings_page()


def _commands_page() -> str:
    commands = describe(COMMANDS.values())
    made = Page("prefork", 1, _DATE, f"prefork {__version__}", "User Commands")
    made.section("name")
    made.text("prefork - serve a WSGI application with a pool of processes")
    made.section("synopsis")
    for words in (("-c", "FILE"), ("", "MODULE:APP")):
        typed = " ".join(filter(None, ["prefork", words[0]]))
        made.line(f"{bold(typed)} {italic(words[1])} [{italic('options')}]")
    made.line(f"{bold('prefork')} {italic('COMMAND')} [{italic('options')}]")
    made.section("description")
    made.text(
        "A master process binds the addresses once and supervises a pool of worker processes that answer requests. It is "
        "configured with one TOML file, see prefork.toml(5), and steered with signals or with the commands below, which find "
        "the running server by its settings file (-c), by its control socket (--control), or without any if only one runs."
    )
    made.section("commands")
    for command in commands:
        made.subsection(_synopsis(command))
        made.text(command.description)
        for item in (*command.arguments, *command.options):
            if "--help" not in item.names:
                made.item(_label(item), item.help)
    made.section("signals")
    made.text("To the master, whose title is prefork: master.")
    for names, what in SIGNALS:
        made.item(bold(names), what)
    made.section("exit status")
    for code, what in EXIT_CODES:
        made.item(bold(code), what)
    made.section("environment")
    for name, what in VARIABLES:
        made.item(bold(name), what)
    made.section("files")
    made.item(
        italic("/run/prefork/NAME-DIGEST.sock"),
        "the control socket of root's servers, unless server.control names another",
    )
    made.item(
        f"{italic('/tmp/prefork-UID')}, {italic('/dev/shm/prefork-UID')}",
        "directories for those of other users without XDG_RUNTIME_DIR",
    )
    made.section("examples")
    made.literal(
        "prefork shop:app --bind 127.0.0.1:8000 --workers 2\n"
        "prefork init\n"
        "prefork check -c server.toml\n"
        "prefork -c server.toml\n"
        "prefork reload --wait -c server.toml"
    )
    made.section("see also")
    made.line(f"{bold('prefork.toml')}(5), {bold('systemd.service')}(5), {bold('signal')}(7)")
    return str(made)


def _synopsis(command: DescribedCommand) -> str:
    words = [f"[{each.value}]" if each.optional else each.value for each in command.arguments]
    return " ".join(["prefork", command.name, *words])


def _label(item: Described) -> str:
    if not item.names:
        return italic(item.value)
    names = ", ".join(bold(name) for name in item.names)
    return f"{names} {italic(item.value)}" if item.value else names


def _settings_page() -> str:
    made = Page("prefork.toml", 5, _DATE, f"prefork {__version__}", "File Formats")
    made.section("name")
    made.text("prefork.toml - settings of prefork")
    made.section("description")
    made.text(
        "A file in TOML 1.0 that prefork -c reads, at the start and at each reload; it may have any name. Every mistake in it is "
        "reported, each on one line. Unknown keys and wrong types are mistakes."
    )
    made.paragraph()
    made.text(
        'Durations are numbers of seconds or texts: "250ms", "30s", "5m", "12h", "1d". Sizes are numbers of bytes or texts: '
        '"64KiB", "1GiB" (powers of 1024), "10MB" (powers of 1000). Relative paths start in the directory of the file. The '
        "option --set TABLE.KEY=VALUE of prefork(1) overrides any key."
    )
    for table in TABLES.values():
        made.section(f"[{table.name}]")
        made.text(table.description)
        for key, option in table.options.items():
            made.item(bold("PREFIX" if table.whole else key), _meaning(option, whole=bool(table.whole)))
    made.section("example")
    made.literal(
        '[app]\ntarget = "shop:app"\n\n[server]\nlisten = ["127.0.0.1:8000"]\n\n[workers]\nthreads = 4'
    )
    made.section("see also")
    made.line(f"{bold('prefork')}(1)")
    return str(made)


def _meaning(option: Option, *, whole: bool) -> str:
    parts = [option.description]
    if option.kind.unit:
        parts.append(f"Value: {option.kind.unit}.")
    if option.required:
        parts.append(f"Required, such as {tomltext.value(option.example)}.")
    elif not whole:
        parts.append(f"Default: {tomltext.value(option.kind.plain(option.default))}")
    return " ".join(parts)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "page", choices=PAGES, metavar="PAGE", help="prefork.1 (commands) or prefork.toml.5 (settings)"
    )


def _run(arguments: argparse.Namespace) -> int:
    sys.stdout.write(page(arguments.page))
    return EXIT_OK


COMMAND = Command(
    name="manual",
    summary="print a page of the manual (prefork.1, prefork.toml.5)",
    description="Print a page of the manual as roff. An installation has them where man(1) looks; elsewhere: "
    "prefork manual prefork.1 | man -l -",
    add_arguments=_add_arguments,
    run=_run,
)
