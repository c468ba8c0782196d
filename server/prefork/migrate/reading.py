"""From the text of a file or a command line to a migration.

Owns: which kind of text it is, and the order of the steps. Pure: files come from a `World`. Runs in: cli. Must not know: what
options mean.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable

from prefork.errors import ConfigError
from prefork.migrate import arguments
from prefork.migrate.draft import Draft, Given, Item, Migration, Note, World
from prefork.migrate.gunicorn_table import GUNICORN
from prefork.migrate.modwsgi_table import MOD_WSGI
from prefork.migrate.pyconfig import python_settings
from prefork.migrate.rows import Row, Source
from prefork.migrate.uwsgi_files import uwsgi_settings
from prefork.migrate.uwsgi_table import UWSGI
from prefork.migrate.waitress_table import WAITRESS

SOURCES = {"gunicorn": GUNICORN, "uwsgi": UWSGI, "waitress": WAITRESS, "mod_wsgi": MOD_WSGI}
"""Kind -> source."""

_UWSGI_ENDS = (".ini", ".yaml", ".yml", ".xml", ".json")
_GUNICORN_ENVIRONMENT = "GUNICORN_CMD_ARGS="

_COMMAND = re.compile(
    r"^(?:\w+: *|ExecStart=[-@:+!]*|CMD |ENTRYPOINT )?(.*\b(?:gunicorn|uwsgi|waitress-serve|mod_wsgi-express)\b.*)$"
)


def kind_of(name: str, text: str) -> str:
    """Whose file it is, by its name and then by what is in it. Raises ConfigError."""
    base = os.path.basename(name).partition(":")[0].lower()  # noqa: PTH119
    if base.endswith(_UWSGI_ENDS):
        return "uwsgi"
    if command_in(text) is not None and not base.endswith(".py"):
        return "command"
    if base.endswith(".py") or re.search(
        r"^(bind|workers|worker_class|wsgi_app|timeout|accesslog)\s*=", text, re.MULTILINE
    ):
        return "gunicorn"
    if re.search(r"^\s*\[uwsgi\]", text, re.MULTILINE):
        return "uwsgi"
    raise ConfigError(
        f"{name}: whose settings are these? Say so with --from gunicorn, uwsgi, waitress or mod_wsgi"
    )


def command_in(text: str) -> str | None:
    """The command line that starts a server: in a script, a Procfile, a unit, a Dockerfile."""
    for row in text.replace("\\\n", " ").splitlines():
        found = _COMMAND.match(row.strip())
        if found is None or row.strip().startswith("#"):
            continue
        command = found[1]
        if command.startswith("["):
            command = " ".join(re.findall(r'"([^"]*)"', command))
        if arguments.without_program(arguments.split(command, "the command"))[0]:
            return command
    return None


def migrate_file(
    kind: str, name: str, text: str, world: World, section: str = ""
) -> tuple[list[Given], list[Note]]:
    """The options in the text of a file."""
    if kind == "gunicorn":
        is_option = _known(GUNICORN)
        return python_settings(text, os.path.join(world.directory, name), world.directory, is_option)  # noqa: PTH118
    if kind == "uwsgi":
        return uwsgi_settings(name, text, world, section)
    command = command_in(text)
    return migrate_arguments(kind, command if command is not None else text, world)


def migrate_arguments(kind: str, text: str, world: World) -> tuple[list[Given], list[Note]]:
    """The options in a command line, and in the file it names."""
    found, tokens = arguments.without_program(arguments.split(text, "the command line"))
    source = SOURCES[kind]
    if found not in (None, kind):
        raise ConfigError(f"the command line: runs {SOURCES[str(found)].say}, not {source.say}")
    if kind == "mod_wsgi" and tokens and tokens[0] in ("start-server", "setup-server"):
        tokens = tokens[1:]
    families = [row.option[:-1] for row in source.rows if row.option.endswith("*")]
    line = arguments.parse(tokens, arguments.flags_of(source.rows), families)
    given, notes = list(line.given), list(line.notes)
    if kind == "gunicorn":
        for token in arguments.split(text, "the command line"):
            if token.startswith(_GUNICORN_ENVIRONMENT):
                below, more = migrate_arguments(kind, token.removeprefix(_GUNICORN_ENVIRONMENT), world)
                given, notes = layered(below, given), [*more, *notes]
        return _gunicorn_words(given, line.words, notes, world)
    if kind == "uwsgi":
        return _uwsgi_words(given, line.words, notes, world)
    if line.words:
        given.append(Given("application", line.words[0], line.words[0]))
        notes += [Note("unread", word, "", "is one word too many") for word in line.words[1:]]
    return given, notes


def _gunicorn_words(
    given: list[Given], words: list[str], notes: list[Note], world: World
) -> tuple[list[Given], list[Note]]:
    if words:
        given.append(Given("wsgi_app", words[0], words[0]))
        notes += [Note("unread", word, "", "is one word too many") for word in words[1:]]
    before: list[Given] = []
    for each in [one for one in given if one.option == "config"]:
        name = str(each.value).removeprefix("file:")
        if name.startswith("python:"):
            notes.append(
                Note("unread", each.written, "", "a module would have to be imported: migrate its file")
            )
            continue
        found, more = migrate_file("gunicorn", name, world.read(name), world)
        before, notes = layered(before, found), [*more, *notes]
    return layered(before, given), notes


def _uwsgi_words(
    given: list[Given], words: list[str], notes: list[Note], world: World
) -> tuple[list[Given], list[Note]]:
    before: list[Given] = []
    files = [str(each.value) for each in given if each.option in ("ini", "xml", "yaml", "json", "config")]
    for word in [*files, *words]:
        name, _, section = word.partition(":")
        if name.endswith(_UWSGI_ENDS):
            found, more = uwsgi_settings(name, world.read(name), world, section)
            before, notes = [*before, *found], [*more, *notes]
        elif name.endswith((".py", ".wsgi")):
            given.append(Given("wsgi-file", name, name))
        elif word.startswith((":", "/")) or re.fullmatch(r"[\w.]*:[0-9]+", word):
            given.append(Given("socket", word, word))
        else:
            notes.append(Note("unread", word, "", "is neither an option nor a file of settings"))
    return [*before, *given], notes


def layered(below: Iterable[Given], above: Iterable[Given]) -> list[Given]:
    """What is above counts: for its options what is below does not."""
    top = list(above)
    named = {each.option for each in top}
    return [*(each for each in below if each.option not in named), *top]


def _known(source: Source) -> Callable[[str], bool]:
    return lambda name: source.row(name) is not None


def migration(
    kind: str, given: Iterable[Given], notes: Iterable[Note], world: World, target: str | None = None
) -> Migration:
    """Everything translated. `target` is the application if somebody has said so."""
    source = SOURCES[kind]
    options: dict[str, list[Given]] = {}
    unknown: list[Note] = []
    rows: dict[str, Row] = {}
    for each in given:
        row = source.row(each.option)
        if each.placeholder and (row is None or row.option.endswith("*")):
            continue
        if row is None:
            unknown.append(
                Note(
                    "unread", each.written, each.place, f"{source.say} has no such option that is known here"
                )
            )
            continue
        option = each.option if row.option.endswith("*") else row.option
        rows[option] = row
        options.setdefault(option, []).append(each)
    draft = Draft(source.say, world, options)
    for option, value in source.defaults.items():
        found = source.row(option)
        if option not in options and found is not None:
            rows[option] = found
            options[option] = [Given(option, value, f"{option} = {value}", default=True)]
    order = {row.option: number for number, row in enumerate(source.rows)}
    for option in sorted(rows, key=lambda name: order[rows[name].option]):
        for each in options[option]:
            _translate(rows[option], each, draft)
    source.finish(draft)
    _room_for_threads(draft)
    if target is not None:
        draft.put("app.target", target, Given("", target, f"--app {target}"))
    return Migration(source.say, tuple(draft.lines.values()), (*notes, *unknown, *draft.notes))


def _translate(row: Row, given: Given, draft: Draft) -> None:
    draft.attempt(given, lambda: row.translate(given, draft))


def _room_for_threads(draft: Draft) -> None:
    """prefork wants at least as many connections as threads; other servers leave some threads without work."""
    connections = draft.lines.get(("workers", "connections", None))
    threads = draft.lines.get(("workers", "threads", None))
    if connections is None or threads is None:
        return
    held, wanted = connections.items[-1], threads.items[-1]
    if isinstance(held.value, int) and isinstance(wanted.value, int) and held.value < wanted.value:
        connections.items[-1] = Item(wanted.value, f"{held.origin}, but no fewer than threads")
