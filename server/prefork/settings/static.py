"""Table `[static]`: its keys are paths of URLs, each value says which files are there. And `server.sendfile_paths`.

Owns: the form of both. Runs in: cli, master. Must not know: how files are served.
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from prefork.settings.entries import convert_entry, entry_schema, plain_entry
from prefork.settings.kinds.base import InvalidValueError, Kind, Mistake
from prefork.settings.kinds.flag import Flag
from prefork.settings.kinds.paths import absolute
from prefork.settings.kinds.text import Text, checked_text
from prefork.settings.options import options_of

PREFIX_RULE = 'must be a path of URLs such as "/static", with no "." or ".." in it'
_FIELD_RULE = "must be printable ASCII characters"


class DirectoryPath(Kind, frozen=True):
    """A directory; whether it is there, `settings.files` looks."""

    takes_text = True

    def convert(self, value: object, directory: str) -> str:
        text = checked_text(value)
        if not text:
            raise ValueError("must be a directory")
        return absolute(text, directory)

    def plain(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


def _is_file_name(text: str) -> bool:
    return "/" not in text and text not in (".", "..") and text.isprintable()


class StaticPlace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of `[static]`."""

    directory: Annotated[str, DirectoryPath(), Meta(description="Where the files are.")]
    cache_control: Annotated[
        str,
        Text(_FIELD_RULE, lambda text: text.isascii() and (text == "" or text.isprintable())),
        Meta(
            description='Cache-Control of the responses, such as "public, max-age=31536000, immutable". Empty: none.'
        ),
    ] = ""
    index: Annotated[
        str,
        Text("must be the name of a file, without slash", _is_file_name),
        Meta(description='File that answers for a directory, such as "index.html". Empty: none does (404).'),
    ] = ""
    precompressed: Annotated[
        bool,
        Flag(),
        Meta(description="Send style.css.br, style.css.zst or style.css.gz to clients that take them."),
    ] = True
    hidden: Annotated[
        bool, Flag(), Meta(description='Serve files and directories whose names begin with "." as well.')
    ] = False
    follow_symlinks: Annotated[
        bool, Flag(), Meta(description="Follow symbolic links that lead out of the directory as well.")
    ] = False


PLACE_OPTIONS = options_of(StaticPlace)


def url_prefix(text: str) -> str:
    """`text` without the slash at its end. Raises ValueError with the rule."""
    prefix = checked_text(text).rstrip("/")
    segments = prefix.split("/")[1:]
    if not prefix.startswith("/") or not all(segments) or {".", ".."} & set(segments):
        raise ValueError(PREFIX_RULE)
    if not prefix.isascii() or not prefix.isprintable() or set(prefix) & set("?#%"):
        raise ValueError(
            "must be printable ASCII characters, without ?, # and % (paths are compared decoded)"
        )
    return prefix


class StaticPlaces(Kind, frozen=True):
    """The whole table."""

    def convert(self, value: object, directory: str) -> dict[str, StaticPlace]:
        if not isinstance(value, dict):
            raise ValueError('must be a table, such as {"/static" = {directory = "static"}}')
        places: dict[str, StaticPlace] = {}
        mistakes: list[Mistake] = []
        for key, item in value.items():
            where = f'."{key}"'
            try:
                prefix = url_prefix(key)
            except ValueError as error:
                mistakes.append(Mistake(item, f"the key {error}", where))
                continue
            entry, found = _place(item, directory, where)
            if entry is not None and prefix in places:
                found = [Mistake(item, f'is given twice, as "{prefix}" and with a slash at its end', where)]
            elif entry is not None:
                places[prefix] = entry
            mistakes += found
        if mistakes:
            raise InvalidValueError(mistakes)
        return places

    def plain(self, value: Any) -> Any:
        return {prefix: plain_entry(place, PLACE_OPTIONS) for prefix, place in value.items()}

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": entry_schema(PLACE_OPTIONS)}


def _place(item: object, directory: str, where: str) -> tuple[StaticPlace | None, list[Mistake]]:
    table = item
    if not isinstance(table, dict):
        return None, [Mistake(item, 'must be a table, such as {directory = "static"}', where)]
    values, mistakes = convert_entry(table, PLACE_OPTIONS, directory, where)
    if "directory" not in table:
        mistakes.append(Mistake(item, 'must have a directory, such as {directory = "static"}', where))
    return (None, mistakes) if mistakes else (StaticPlace(**values), [])


class StaticSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[static]`; `places` stands for all its keys."""

    places: Annotated[
        dict[str, StaticPlace],
        StaticPlaces(),
        Meta(
            description="Files served without the application, also while all its threads are busy: path of URLs = "
            '{directory = "...", cache_control = "", index = "", precompressed = true, hidden = false, '
            "follow_symlinks = false}.",
            examples=['"/static" = {directory = "static", cache_control = "public, max-age=3600"}'],
        ),
    ] = msgspec.field(default_factory=dict)


class SendfilePaths(Kind, frozen=True):
    """What an application may write before the slash -> the directory it means; a list names directories as they are."""

    def convert(self, value: object, directory: str) -> dict[str, str]:
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list):
            value = {absolute(checked_text(item) or ".", directory): item for item in value}
        if not isinstance(value, dict):
            raise ValueError('must be a list of directories, or a table such as {"/protected" = "files"}')
        paths: dict[str, str] = {}
        mistakes: list[Mistake] = []
        for name, item in value.items():
            try:
                prefix = checked_text(name).rstrip("/")
                if not prefix.startswith("/"):
                    raise ValueError('the key must begin with a slash, such as "/protected"')
                paths[prefix] = DirectoryPath().convert(item, directory)
            except ValueError as error:
                mistakes.append(Mistake(item, str(error), f'."{name}"'))
        if mistakes:
            raise InvalidValueError(mistakes)
        return paths

    def plain(self, value: Any) -> Any:
        return dict(value)

    def schema(self) -> dict[str, Any]:
        text = {"type": "string"}
        table = {"type": "object", "additionalProperties": text}
        return {"anyOf": [{"type": "array", "items": text}, text, table]}
