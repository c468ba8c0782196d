"""`.env` files: NAME=VALUE lines for the environment.

Owns: how such a file is read. Pure, but for reading it. Runs in: the zygote of `prefork --dev`, cli. Must not know: who
wants it.

- One assignment a line: `NAME=VALUE`, also `export NAME=VALUE`; blank lines and lines that begin with `#` mean nothing.
- Without quotes the value ends at ` #` or at the end of the line; spaces around it do not count.
- In single quotes everything is itself. In double quotes `\\n`, `\\t`, `\\r`, `\\"`, `\\\\` and `\\$` mean what they mean in
C and the shell. Both may go on over several lines.
- Nothing is expanded: `$HOME` is five characters. What is in the environment already is stronger than the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

_ASSIGNMENT = re.compile(
    r"""
    ^[ \t]*(?:export[ \t]+)?
    (?P<name>[A-Za-z_][A-Za-z0-9_.]*)[ \t]*=[ \t]*
    (?:
        '(?P<single>[^']*)'
      | "(?P<double>(?:[^"\\]|\\.)*)"
      | (?P<bare>|[^'"\n][^\n]*?)
    )
    [ \t]*(?:(?<=[ \t'"=])\#[^\n]*)?$
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MEANINGS = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$", "\n": ""}


def parse(text: str) -> tuple[dict[str, str], list[int]]:
    """The assignments, and the numbers of lines that are none. Of two of one name the last counts."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values: dict[str, str] = {}
    strange: list[int] = []
    at = 0
    while at < len(text):
        nothing = _NOTHING.match(text, at)
        if nothing is not None and nothing.end() > at:
            at = nothing.end()
            continue
        found = _ASSIGNMENT.match(text, at)
        if found is None:
            strange.append(text.count("\n", 0, at) + 1)
            end = text.find("\n", at)
            at = len(text) if end < 0 else end + 1
            continue
        values[found["name"]] = _value(found)
        at = found.end() + 1
    return values, strange


def _value(found: re.Match[str]) -> str:
    if found["single"] is not None:
        return found["single"]
    if found["double"] is not None:
        return _ESCAPE.sub(lambda match: _MEANINGS.get(match[1], match[0]), found["double"])
    return found["bare"].strip()


def read(paths: Iterable[Path]) -> tuple[dict[str, str], list[str]]:
    """The values of these files together, of which the first that has a name counts, and a line for whatever is wrong. A file
    that is not there is no mistake."""
    values: dict[str, str] = {}
    problems: list[str] = []
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: cannot be read: {error}")
            continue
        found, strange = parse(text)
        problems += [f"{path}, line {line}: is no NAME=VALUE" for line in strange]
        values = {**found, **values}
    return values, problems


def apply(values: Mapping[str, str], environment: MutableMapping[str, str]) -> None:
    """What is in the environment already stays."""
    for name, value in values.items():
        environment.setdefault(name, value)
