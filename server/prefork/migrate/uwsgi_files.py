"""uWSGI's settings files: ini, XML, YAML and JSON, with sections and inheritance.

Owns: how each is read. Pure: files come from a `World`. Runs in: cli. Must not know: what options mean; placeholders (see
`uwsgi_logic`).

XML with a document type is refused: entities are how a small file becomes a large one, or reads another. Of YAML only its nodes are
looked at (PyYAML's `compose`), so no object is made, and a key may be there more than once, as uWSGI has it.
"""  # noqa: E501

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any
from xml.parsers import expat

from prefork.errors import ConfigError
from prefork.migrate.draft import Given, Note, World
from prefork.migrate.uwsgi_logic import Setting, resolve

_INHERIT = {"ini", "xml", "yaml", "yml", "json", "inherit", "include", "config"}
_DEEPEST = 16

_TRUE = "true"


def uwsgi_settings(name: str, text: str, world: World, section: str = "") -> tuple[list[Given], list[Note]]:
    """The options of a file, those it inherits included. Raises ConfigError."""
    settings, notes = _inherited(name, text, world, section or "uwsgi", 0)
    given, more = resolve(settings, name, world)
    return given, [*notes, *more]


def _inherited(
    name: str, text: str, world: World, section: str, depth: int
) -> tuple[list[Setting], list[Note]]:
    if depth > _DEEPEST:
        raise ConfigError(f"{name}: files inherit one another, {_DEEPEST} deep")
    settings: list[Setting] = []
    notes: list[Note] = []
    for each in _read(name, text, section):
        placed = each if depth == 0 else Setting(each.key, each.value, f"{name}, {each.place}", name)
        if each.key not in _INHERIT:
            settings.append(placed)
            continue
        other, _, its_section = each.value.partition(":")
        if "://" in each.value or "%" in other or "$" in other:
            written = f"{each.key} = {each.value}"
            notes.append(
                Note("unread", written, placed.place, "inherits from what is no plain file: migrate that too")
            )
            continue
        # ":section" is one of the same file.
        found = os.path.join(os.path.dirname(name), other) if other else name  # noqa: PTH118, PTH120
        more, heard = _inherited(
            found, world.read(found) if other else text, world, its_section or "uwsgi", depth + 1
        )
        settings += more
        notes += heard
    return settings, notes


def _read(name: str, text: str, section: str) -> list[Setting]:
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122
    readers: dict[str, Callable[[str, str, str], list[Setting]]] = {
        ".xml": _xml,
        ".yaml": _yaml,
        ".yml": _yaml,
        ".json": _json,
    }
    return readers.get(ending, _ini)(name, text, section)


def _ini(name: str, text: str, section: str) -> list[Setting]:
    found: list[Setting] = []
    sections: list[str] = []
    for number, row in enumerate(text.splitlines(), 1):
        line = row.strip()
        if not line or line.startswith((";", "#")):
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise ConfigError(f'{name}: line {number}: a section is written "[uwsgi]"')
            sections.append(line[1:-1].strip())
        elif sections and sections[-1] == section:
            key, equals, value = line.partition("=")
            found.append(Setting(key.strip(), value.strip() if equals else _TRUE, f"line {number}", name))
    _section_wanted(name, section, sections)
    return found


def _section_wanted(name: str, section: str, sections: Iterable[str]) -> None:
    there = [each for each in sections if each]
    if section not in there:
        which = f"there are {', '.join(there)} (FILE:SECTION names one)" if there else "there is none"
        raise ConfigError(f"{name}: has no section [{section}]; {which}")


def _xml(name: str, text: str, section: str) -> list[Setting]:
    found: list[Setting] = []
    path: list[str] = []
    ids: list[str] = []
    words: list[str] = []
    parser = expat.ParserCreate()

    def doctype(*_: object) -> None:
        raise ConfigError(
            f"{name}: line {parser.CurrentLineNumber}: has a document type, which is refused: it may hold entities"
        )

    def start(tag: str, attributes: dict[str, str]) -> None:
        words.clear()
        path.append(tag)
        if tag == "uwsgi":
            ids.append(attributes.get("id", "uwsgi"))

    def end(tag: str) -> None:
        path.pop()
        if path and path[-1] == "uwsgi" and ids[-1] == section:
            value = "".join(words).strip()
            found.append(Setting(tag, value or _TRUE, f"line {parser.CurrentLineNumber}", name))
        words.clear()

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = words.append
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        place = f"line {error.lineno}, column {error.offset + 1}"
        raise ConfigError(
            f"{name}: {place}: is not XML: {expat.errors.messages.get(error.code, error)}"
        ) from None
    _section_wanted(name, section, ids)
    return found


def _yaml(name: str, text: str, section: str) -> list[Setting]:
    try:
        yaml: Any = import_module("yaml")
    except ImportError:
        raise ConfigError(f"{name}: YAML needs PyYAML: pip install 'prefork[migrate]'") from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ConfigError(
            f"{name}: {place}is not YAML: {error.problem} (quote what begins with % or *)"
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{name}: is not YAML: {' '.join(str(error).split())}") from None
    sections: dict[str, Any] = {}
    if isinstance(root, yaml.MappingNode):
        sections = {str(key.value): value for key, value in root.value}
    _section_wanted(name, section, sections)
    found = []
    for key, value in sections[section].value if isinstance(sections[section], yaml.MappingNode) else ():
        for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(each, yaml.ScalarNode):
                raise ConfigError(
                    f"{name}: line {each.start_mark.line + 1}: {key.value}: is neither a value nor a list of values"
                )
            place = f"line {each.start_mark.line + 1}"
            found.append(Setting(str(key.value), str(each.value) if each.value != "" else _TRUE, place, name))
    return found


def _json(name: str, text: str, section: str) -> list[Setting]:
    try:
        root = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{name}: line {error.lineno}, column {error.colno}: is not JSON: {error.msg}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{name}: is not usable JSON: {type(error).__name__}") from None
    sections = root if isinstance(root, dict) else {}
    _section_wanted(name, section, sections)
    found = []
    options = sections[section]
    for key, value in options.items() if isinstance(options, dict) else ():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict | list) or each is None:
                raise ConfigError(f"{name}: {section}.{key}: is neither a value nor a list of values")
            written = str(each).lower() if isinstance(each, bool) else str(each)
            found.append(Setting(key, written, f"{section}.{key}", name))
    return found
