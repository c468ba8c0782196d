"""Command lines of other servers, taken apart.

Owns: long and short options, with and without "=", abbreviated, several letters in one. Pure. Runs in: cli. Must not know:
what the options mean.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

import msgspec

from prefork.errors import ConfigError
from prefork.migrate.draft import Given, Note
from prefork.migrate.rows import Row

PROGRAMS = {
    "gunicorn": "gunicorn",
    "uwsgi": "uwsgi",
    "uwsgi_python3": "uwsgi",
    "pyuwsgi": "uwsgi",
    "waitress-serve": "waitress",
    "waitress": "waitress",
    "mod_wsgi-express": "mod_wsgi",
    "mod_wsgi": "mod_wsgi",
}
"""Name of a program, or of a module for `python -m` -> the kind of its arguments."""


class CommandLine(msgspec.Struct, frozen=True):
    """Arguments, taken apart."""

    given: list[Given]
    words: list[str]
    """What is no option."""
    notes: list[Note]


def split(text: str, place: str) -> list[str]:
    """The words of a command line as a shell would see them; nothing in it is expanded. Raises ConfigError."""
    try:
        return shlex.split(text.replace("\\\n", " "), comments=True)
    except ValueError as error:
        raise ConfigError(f"{place}: is no command line: {str(error).lower()}") from None


def without_program(tokens: list[str]) -> tuple[str | None, list[str]]:
    """The kind of the program that the words start, if they do (after `env A=b`, `exec`, `python -m`), and its arguments."""
    for index, token in enumerate(tokens):
        name = token.rpartition("/")[2]
        if name in PROGRAMS:
            return PROGRAMS[name], tokens[index + 1 :]
        if not re.fullmatch(
            r"\w+=.*|exec|env|-m|-u|(?:.*/)?python[0-9.]*|poetry|uv|pipenv|run|sudo|-E", token, re.DOTALL
        ):
            break
    return None, tokens


def flags_of(rows: Iterable[Row]) -> dict[str, Row]:
    """What a command line may call them."""
    return {
        flag: row
        for row in rows
        if not row.option.endswith("*")
        for flag in (row.flags or tuple(f"--{name}" for name in (row.option, *row.names)))
    }


def parse(tokens: list[str], flags: Mapping[str, Row], families: Iterable[str] = ()) -> CommandLine:
    """Take the words apart. Options that nobody knows become notes; after them a word is a word."""
    found = CommandLine([], [], [])
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == "--":
            found.words.extend(rest)
            break
        if token in ("-", "") or not token.startswith("-"):
            found.words.append(token)
        elif token.startswith("--"):
            _long(token, rest, flags, found, tuple(families))
        else:
            _short(token, rest, flags, found)
    return found


def _long(
    token: str, rest: list[str], flags: Mapping[str, Row], found: CommandLine, families: tuple[str, ...]
) -> None:
    name, equals, value = token.partition("=")
    row = flags.get(name) or _abbreviated(name, flags)
    if row is None:
        option = name.removeprefix("--")
        if option.startswith(families):
            if not equals and rest and not rest[0].startswith("-"):
                value, equals = rest.pop(0), "="
            found.given.append(Given(option, value if equals else True, f"{name} {value}".strip()))
        else:
            found.notes.append(Note("unread", token, "", "is an option that is not known here"))
        return
    _take(row, name, [value] if equals else [], rest, found)


def _abbreviated(name: str, flags: Mapping[str, Row]) -> Row | None:
    rows = {flags[flag].option: flags[flag] for flag in flags if flag.startswith(name)}
    return next(iter(rows.values())) if len(rows) == 1 and len(name) > 2 else None


def _short(token: str, rest: list[str], flags: Mapping[str, Row], found: CommandLine) -> None:
    letters = token[1:]
    while letters:
        name, letters = f"-{letters[0]}", letters[1:]
        row = flags.get(name)
        if row is None:
            found.notes.append(Note("unread", token, "", "is an option that is not known here"))
            return
        if row.arity:
            _take(row, name, [letters.removeprefix("=")] if letters else [], rest, found)
            return
        _take(row, name, [], rest, found)


def _take(row: Row, name: str, values: list[str], rest: list[str], found: CommandLine) -> None:
    if row.arity == -1 and not values and rest and not rest[0].startswith("-"):
        values.append(rest.pop(0))
    while len(values) < row.arity:
        if not rest:
            raise ConfigError(
                f"{name}: wants {'an argument' if row.arity == 1 else f'{row.arity} arguments'}"
            )
        values.append(rest.pop(0))
    if row.arity <= 0 and not values:
        # --no-sendfile, --no-ipv6: the flag turns something off.
        value: object = not (name.startswith("--no-") and not row.option.startswith("no"))
    else:
        value = values[0] if row.arity in (1, -1, 0) else values
    written = " ".join([name, *(shlex.quote(each) for each in values)])
    found.given.append(Given(row.option, value, written))
