"""What a migration is made of: options that were given, the lines they become, and what has to be said.

Owns: these values, and where relative paths lead. Pure. Runs in: cli. Must not know: any other server's options.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

NoteKind = Literal["missing", "different", "needless", "unread"]

LOCAL = ("127.0.0.1", "::1")


class Given(msgspec.Struct, frozen=True):
    """One option, as it was given."""

    option: str
    value: object
    """Texts, as a rule; of Python whatever a literal can be."""
    written: str
    """As a person wrote it: "workers = 4", "--workers 4"."""
    place: str = ""
    """"line 3", "deploy.ini, line 7"; empty: the command line."""
    default: bool = False
    """Nobody wrote it: the other server does so by itself, and prefork would not."""
    remarks: tuple[str, ...] = ()
    """What had to be assumed to know its value."""
    placeholder: bool = False
    """Others refer to it: it need not be an option."""


class Note(msgspec.Struct, frozen=True):
    """Something that a person has to know about one option."""

    kind: NoteKind
    written: str
    place: str
    text: str


class Item(msgspec.Struct, frozen=True):
    """One value and what it came from."""

    value: object
    origin: str


class Line(msgspec.Struct):
    """One key of the settings file. With `many` the items are those of a list."""

    table: str
    key: str
    sub: str | None
    items: list[Item]
    many: bool = False
    above: tuple[str, ...] = ()


class World(msgspec.Struct, frozen=True):
    """What is around the text that is read."""

    read: Callable[[str], str]
    """The text of a file. Raises ConfigError."""
    exists: Callable[[str], bool]
    directory: str = "/"
    """Absolute: where the old server was started; its relative paths start there."""
    output: str = "/"
    """Absolute: where the settings file will be; relative paths of the settings start there."""


class Draft:
    """The settings file, as it takes shape. `say` is the name of the other server."""

    def __init__(self, say: str, world: World, options: Mapping[str, list[Given]]) -> None:
        self.say = say
        self.world = world
        self.options = options
        self.lines: dict[tuple[str, str, str | None], Line] = {}
        self.notes: list[Note] = []

    # -- what was given --------------------------------------------------------------------------------------

    def last(self, option: str) -> Given | None:
        """What was given last for it."""
        found = self.options.get(option)
        return found[-1] if found else None

    def value(self, option: str) -> object:
        """The value of that; None if there is none."""
        given = self.last(option)
        return None if given is None else given.value

    # -- lines -----------------------------------------------------------------------------------------------

    def put(
        self, dotted: str, value: object, given: Given, *, sub: str | None = None, above: str = ""
    ) -> None:
        """`table.key` (`.sub`) has this value. `above` is a comment for the line before."""
        table, _, key = dotted.partition(".")
        comments = tuple(filter(None, (above, *given.remarks)))
        self.lines[(table, key, sub)] = Line(
            table, key, sub, [Item(value, self.origin(given))], above=comments
        )

    def append(self, dotted: str, value: object, given: Given, *, above: str = "") -> None:
        """The list `table.key` has this value more. One that is there already is not there twice."""
        table, _, key = dotted.partition(".")
        line = self.lines.setdefault((table, key, None), Line(table, key, None, [], many=True))
        line.above = tuple(dict.fromkeys([*line.above, *filter(None, (above, *given.remarks))]))
        # ":0" is any free port: another one each time.
        if value not in [item.value for item in line.items] or str(value).endswith(":0"):
            line.items.append(Item(value, self.origin(given)))

    def has(self, dotted: str) -> bool:
        """Whether there is such a line."""
        table, _, key = dotted.partition(".")
        return any((line.table, line.key) == (table, key) for line in self.lines.values())

    def items(self, dotted: str) -> list[object]:
        """The values of a list."""
        table, _, key = dotted.partition(".")
        line = self.lines.get((table, key, None))
        return [] if line is None else [item.value for item in line.items]

    def origin(self, given: Given) -> str:
        """What a line came from, in words."""
        if given.default:
            return f"{self.say}'s default: {given.written}"
        return f"{self.say}: {given.written}"

    # -- notes -----------------------------------------------------------------------------------------------

    def note(self, kind: NoteKind, given: Given, text: str) -> None:
        """Say something about an option; of defaults nobody has to hear."""
        if not given.default:
            self.notes.append(Note(kind, given.written, given.place, text))

    def missing(self, given: Given, why: str) -> None:
        """It has no equivalent."""
        self.note("missing", given, why)

    def different(self, given: Given, how: str) -> None:
        """It has one that is not quite the same."""
        self.note("different", given, how)

    def attempt(self, given: Given, step: Callable[[], None]) -> None:
        """Do it, or say that the option has a value that cannot be used (ValueError)."""
        try:
            step()
        except ValueError as error:
            self.notes.append(Note("unread", given.written, given.place, str(error)))

    # -- paths -----------------------------------------------------------------------------------------------

    def path(self, text: str) -> str:
        """A path of the old server as the settings file has to write it: relative paths start in the directory of that one."""
        if os.path.isabs(text):  # noqa: PTH117 - settings hold paths as texts
            return os.path.normpath(text)
        return os.path.relpath(os.path.join(self.working_directory, text), self.world.output)  # noqa: PTH118

    @property
    def working_directory(self) -> str:
        """Where relative paths of the old server start: it changes to `chdir` before it opens anything."""
        changed = self.value("chdir")
        base = self.world.directory
        return os.path.normpath(os.path.join(base, changed)) if isinstance(changed, str) else base  # noqa: PTH118


class Migration(msgspec.Struct, frozen=True):
    """What has become of it all."""

    say: str
    """The other server's name."""
    lines: tuple[Line, ...]
    notes: tuple[Note, ...]

    @property
    def target(self) -> str | None:
        """The application, if it is known."""
        found = [line.items[-1].value for line in self.lines if (line.table, line.key) == ("app", "target")]
        return str(found[0]) if found else None
