"""From argv to an exit code.

Owns: choosing the command, and what a person sees when it fails. Runs in: cli. Must not know: what commands do.

This is what ends the process, but for commands that leave without taking Python apart (`considerate`).
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from prefork.cli.command import Command, Parser, UsageError
from prefork.cli.commands import COMMANDS
from prefork.cli.facts import EXIT_CODES, SIGNALS
from prefork.errors import EXIT_FAILURE, EXIT_OK, PreforkError
from prefork.settings.nearest import did_you_mean
from prefork.version import __version__

EXIT_USAGE = 2
"""As argparse and the shells have it."""
EXIT_INTERRUPTED = 128 + signal.SIGINT
"""As a shell reports a process that SIGINT ended."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What write(2) says of a disk that is full or broken. Files that a command makes have errors of their own."""

INTRO = """\
prefork serves a WSGI application with a pool of processes.

  prefork MODULE:APP         serve the application APP of the module MODULE on http://127.0.0.1:8000
  prefork -c FILE            serve as the settings file says
  prefork init               begin a settings file
  prefork --help             everything else
"""

USAGE = """prefork -c FILE [options]
       prefork MODULE:APP [options]
       prefork COMMAND ..."""

EPILOG = """\
commands:
{commands}
  (prefork COMMAND --help tells more)

signals to the running server (its commands do the same, and say how it went):
{signals}

exit codes:
{exit_codes}
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command in `argv` (default: that of the process) and end the process with its exit code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command in `argv`, and write out all it says; whatever goes wrong becomes lines on stderr and an exit code."""
    try:
        try:
            return _dispatch(argv)
        finally:
            sys.stdout.flush()
    except UsageError as error:
        _complain(f"{error} (try: {error.help_command})")
        return EXIT_USAGE
    except PreforkError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader left (`prefork config | head`).
        _write_nowhere()
        return EXIT_FAILURE
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _complain(f"the output cannot be written: {error.strerror}")
        _write_nowhere()
        return EXIT_FAILURE


def _write_nowhere() -> None:
    """Python writes what is left once more at exit, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    for line in text.splitlines():
        print(f"prefork: {line}", file=sys.stderr)


def _dispatch(argv: Sequence[str]) -> int:
    if not argv:
        sys.stderr.write(INTRO)
        return EXIT_USAGE
    first = argv[0]
    if first in ("-h", "--help"):
        _front_parser().print_help()
        return EXIT_OK
    if first in ("-V", "--version"):
        from prefork.speedups import DESCRIPTION

        print(f"prefork {__version__} ({DESCRIPTION})")
        return EXIT_OK
    if first in COMMANDS:
        return _run_command(COMMANDS[first], argv[1:])
    if first.startswith("-") or ":" in first:
        return _run_command(COMMANDS["run"], argv)
    raise UsageError(_unknown_word(first))


def _run_command(command: Command, argv: Sequence[str]) -> int:
    parser = Parser(prog=f"prefork {command.name}", description=command.description, allow_abbrev=False)
    command.add_arguments(parser)
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        name, options = unknown[0].partition("=")[0], parser.option_names()
        # It is known, but behind "--" nothing is an option.
        suggestion = "; options go before --" if name in options else did_you_mean(name, options, "{}")
        parser.error(f"unknown argument {unknown[0]}{suggestion}")
    return command.run(arguments)


def _unknown_word(word: str) -> str:
    if word.endswith(".toml"):
        return f"{word}: is a settings file; write -c {word}"
    suggestion = did_you_mean(word, COMMANDS, "prefork {}")
    return f"{word}: is no command, and no application (write MODULE:APP, such as {word}:app){suggestion}"


def _front_parser() -> argparse.ArgumentParser:
    """Only for its help: that of `run`, and all else there is."""
    commands = "\n".join(f"  {command.name:<15} {command.summary}" for command in COMMANDS.values())
    parser = Parser(
        prog="prefork",
        usage=USAGE,
        description="Serve a WSGI application with a pool of processes.",
        epilog=EPILOG.format(
            commands=commands,
            signals="\n".join(f"  {names:<15} {what}" for names, what in SIGNALS),
            exit_codes="\n".join(f"  {code:<3} {what}" for code, what in EXIT_CODES),
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-V", "--version", action="store_true", help="show the version")
    COMMANDS["run"].add_arguments(parser)
    return parser
