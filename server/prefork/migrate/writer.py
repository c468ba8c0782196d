"""A migration as text: the settings file, and what has to be said about it.

Owns: the form of both. Pure. Runs in: cli. Must not know: any option.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from prefork.migrate.draft import Line, Migration, Note, NoteKind
from prefork.settings import tomltext
from prefork.settings.model import TABLES

_WIDTH = 110

_HEADINGS: dict[NoteKind, str] = {
    "unread": "Could not be known without running the file: look at each",
    "missing": "Has no equivalent",
    "different": "Is not quite the same",
    "needless": "Needs no setting",
}


def settings_text(migration: Migration) -> str:
    """The settings file, with all that has to be known as comments at its end."""
    blocks = [
        f"# Settings of prefork, from those of {migration.say}, by `prefork migrate`. Look through it, then:\n"
        "#   prefork check -c THIS_FILE      prefork config -c THIS_FILE      prefork -c THIS_FILE\n"
        "# Every key there is: `prefork config --reference`, prefork.toml(5). Relative paths start in the directory of this file.\n"  # noqa: E501
    ]
    for table in TABLES:
        lines = [line for line in migration.lines if line.table == table]
        if lines:
            order = [*TABLES[table].options]
            lines.sort(key=lambda line: order.index(line.key) if line.key in order else len(order))
            blocks.append(
                "\n".join([f"[{table}]", *(text for line in lines for text in _lines(line))]) + "\n"
            )
    if migration.notes:
        blocks.append("\n".join(_comments(migration)) + "\n")
    return "\n".join(blocks)


def _lines(line: Line) -> Iterator[str]:
    for text in line.above:
        yield from textwrap.wrap(tomltext.one_line(text), _WIDTH, initial_indent="# ", subsequent_indent="# ")
    key = tomltext.key(line.key)
    if line.sub is not None:
        key = f"{key}.{tomltext.key(line.sub)}" if line.key else tomltext.key(line.sub)
    if not line.many:
        yield f"{key} = {tomltext.value(line.items[-1].value)}{_origin(line.items[-1].origin)}"
    elif len(line.items) == 1:
        yield f"{key} = {tomltext.value([line.items[0].value])}{_origin(line.items[0].origin)}"
    else:
        yield f"{key} = ["
        for item in line.items:
            yield f"    {tomltext.value(item.value)},{_origin(item.origin)}"
        yield "]"


def _origin(text: str) -> str:
    return f"  # {tomltext.one_line(text)}"


def _comments(migration: Migration) -> Iterator[str]:
    for kind, heading in _HEADINGS.items():
        notes = [note for note in migration.notes if note.kind == kind]
        if notes:
            yield f"# -- {heading} {'-' * (_WIDTH - len(heading) - 6)}"
            yield "#"
        for note in notes:
            yield f"# {migration.say}: {_named(note)}"
            yield from textwrap.wrap(
                tomltext.one_line(note.text), _WIDTH, initial_indent="#     ", subsequent_indent="#     ",
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
        if notes:
            yield "#"


def _named(note: Note) -> str:
    place = f" ({note.place})" if note.place else ""
    return f"{tomltext.one_line(note.written)}{place}"


def note_lines(migration: Migration) -> list[str]:
    """The same for a terminal, a line each; what needs no setting is left out."""
    words: dict[NoteKind, str] = {"unread": "not read", "missing": "no equivalent", "different": "different"}
    return [
        f"{words[kind]}: {_named(note)}: {tomltext.one_line(note.text)}"
        for kind in words
        for note in migration.notes
        if note.kind == kind
    ]
