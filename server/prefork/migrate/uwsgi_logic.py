"""uWSGI's placeholders and logic: `%(name)`, `%n`, `$(VARIABLE)`, `for`, `if-...`.

Owns: following them without the environment, which is that of this terminal and not that of the server. Pure: files are looked
at through a `World`. Runs in: cli. Must not know: what options mean.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import msgspec

from prefork.migrate.draft import Given, Note, World

_PLACEHOLDER = re.compile(r"%\(([^()]*)\)|\$\(([^()]*)\)|@\(([^()]*)\)|%([a-zA-Z0-9\[])")

_FIELDS = frozenset({"log-format", "logformat"})
"""What has fields that look like placeholders."""

_LONGEST = 10_000
_MOST = 10_000
"""Settings that a file may become: `for` multiplies."""


class Setting(msgspec.Struct, frozen=True):
    """One line of a file."""

    key: str
    value: str
    place: str
    file: str


class _UnknownError(Exception):
    """It cannot be known here. The text says why."""


def resolve(settings: list[Setting], name: str, world: World) -> tuple[list[Given], list[Note]]:
    """The options with their values in full, and what could not be known."""
    resolver = _Resolver(name, world)
    resolver.block(settings)
    given = [
        msgspec.structs.replace(each, placeholder=True) if each.option in resolver.used else each
        for each in resolver.given
    ]
    return given, resolver.notes


class _Resolver:
    def __init__(self, name: str, world: World) -> None:
        self._name = name
        self._world = world
        self._known: dict[str, str] = {}
        self.used: set[str] = set()
        self.given: list[Given] = []
        self.notes: list[Note] = []

    def block(
        self, settings: list[Setting], context: str | None = None, remarks: tuple[str, ...] = ()
    ) -> None:
        """Settings one after the other; those between `for` or `if` and its end are a block of their own."""
        rest = list(settings)
        while rest:
            each = rest.pop(0)
            if (
                each.key == "for"
                or each.key.startswith(("for-", "if-"))
                or each.key in ("ifenv", "ifexists", "ifdir")
            ):
                inner: list[Setting] = []
                ends = ("endfor", "end-for") if each.key.startswith("for") else ("endif", "end-if")
                while rest and (inside := rest.pop(0)).key not in ends:
                    inner.append(inside)
                self._logic(each, inner)
            elif each.key not in ("endif", "end-if", "endfor", "end-for"):
                self._option(each, context, remarks)

    def _logic(self, head: Setting, inner: list[Setting]) -> None:
        written = f"{head.key} = {head.value}"
        try:
            value = self._expanded(head.value, None, head)
            if head.key in ("for", "for-times"):
                times = 0 if head.key == "for" else _integer(value)
                if times > _MOST:
                    raise _UnknownError("would become very many settings")
                items = value.split() if head.key == "for" else [str(number + 1) for number in range(times)]
                if len(items) * len(inner) + len(self.given) > _MOST:
                    raise _UnknownError("would become very many settings")
                for item in items:
                    self.block(inner, item)
                return
            holds, remark = self._condition(head.key, value)
        except (_UnknownError, ValueError) as error:
            names = ", ".join(dict.fromkeys(each.key for each in inner)) or "nothing"
            self.notes.append(Note("unread", written, head.place, f"{error}; left out with it: {names}"))
            return
        if holds:
            self.block(inner, value, (f"{written}: {remark}",))
        elif inner:
            names = ", ".join(dict.fromkeys(each.key for each in inner))
            self.notes.append(Note("unread", written, head.place, f"{remark}; left out with it: {names}"))

    def _condition(self, key: str, value: str) -> tuple[bool, str]:
        """Whether it holds, and what that was taken from."""
        negated = key.startswith("if-not-")
        what = key.removeprefix("if-not-").removeprefix("if-").removeprefix("if")
        if what == "env":
            return (
                negated,
                "taken as if the variable were not set: how the server's environment is, is not known here",
            )
        if what in ("exists", "file", "dir", "directory"):
            there = self._world.exists(os.path.join(self._world.directory, value))  # noqa: PTH118
            return there is not negated, f"{value} {'is' if there else 'is not'} there, where this was made"
        if what == "opt":
            name, _, wanted = value.partition("=")
            there = name in self._known and (not wanted or self._known[name] == wanted)
            return there is not negated, f"{name} {'is' if there else 'is not'} set so"
        if what == "reload":
            return negated, "at the start"
        raise _UnknownError(f"{key} cannot be known here")

    def _option(self, each: Setting, context: str | None, remarks: tuple[str, ...]) -> None:
        written = f"{each.key} = {each.value}" if each.value != "true" else each.key
        try:
            value = self._expanded(each.value, context, each)
        except _UnknownError as error:
            self.notes.append(Note("unread", written, each.place, str(error)))
            return
        if each.key in ("set", "set-placeholder", "set-ph"):
            name, _, value = value.partition("=")
            self._known[name.strip()] = value.strip()
            if each.key == "set":
                self.given.append(Given(name.strip(), value.strip(), written, each.place, remarks=remarks))
            return
        self._known[each.key] = value
        if value != each.value:
            written = f"{each.key} = {value}"
        if len(self.given) >= _MOST:
            raise_text = "is one of very many settings"
            self.notes.append(Note("unread", written, each.place, raise_text))
            return
        self.given.append(Given(each.key, value, written, each.place, remarks=remarks))

    def _expanded(self, text: str, context: str | None, each: Setting) -> str:
        def replaced(found: re.Match[str]) -> str:
            name, variable, file, magic = found.groups()
            if name is not None:
                if each.key.replace("_", "-") in _FIELDS and name not in self._known:
                    return found[0]
                return context if name == "_" and context is not None else self._math(name)
            if variable is not None:
                raise _UnknownError(f"depends on the environment variable {variable}")
            if file is not None:
                raise _UnknownError(f"is the content of {file}, which is not read here")
            return self._magic(magic, each, found[0])

        done = _PLACEHOLDER.sub(replaced, text)
        if len(done) > _LONGEST:
            raise _UnknownError("is very long")
        return done

    def _math(self, expression: str) -> str:
        """One name, or names and numbers with operators between them, from left to right."""
        words = expression.split()
        if not words:
            raise _UnknownError("has an empty placeholder")
        value = self._word(words[0])
        rest = iter(words[1:])
        for word in rest:
            if word in ("++", "--"):
                value = str(_integer(value) + (1 if word == "++" else -1))
            elif word in _OPERATORS:
                value = str(_OPERATORS[word](_integer(value), _integer(self._word(next(rest, "")))))
            else:
                value += self._word(word)
            if len(value) > _LONGEST:
                raise _UnknownError("is very long")
        return value

    def _word(self, word: str) -> str:
        if word in self._known:
            self.used.add(word)
            return self._known[word]
        if re.fullmatch(r"[0-9]{1,15}", word):
            return word
        raise _UnknownError(
            f'depends on "{word}", which is not set before it (a variable of the environment?)'
        )

    def _magic(self, letter: str, each: Setting, written: str) -> str:
        path = os.path.normpath(os.path.join(self._world.directory, each.file))  # noqa: PTH118
        if letter.isupper():
            path = os.path.normpath(os.path.join(self._world.directory, self._name))  # noqa: PTH118
        directory, base = os.path.split(path)
        stem, _, end = base.rpartition(".")
        parts = [part for part in directory.split("/") if part]
        values: dict[str, str] = {
            "v": self._world.directory,
            "o": each.file,
            "p": path,
            "s": base,
            "d": f"{directory}/",
            "e": end,
            "n": stem or base,
            "c": parts[-1] if parts else "",
            "x": "uwsgi",
            **{str(number): part for number, part in enumerate(parts[:10])},
        }
        if letter.lower() in values:
            return values[letter.lower()]
        if letter in "htkuUgGV":
            raise _UnknownError(f"depends on the machine or the moment ({written})")
        return written


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,15}", text):
        raise _UnknownError(f'counts with "{text[:20]}", which is no number')
    return int(text)


def _divided(one: int, other: int) -> int:
    if not other:
        raise _UnknownError("divides by 0")
    return one // other


_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": lambda one, other: one + other,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": _divided,
}
