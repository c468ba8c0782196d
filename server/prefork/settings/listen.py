"""What to listen on: one entry of `server.listen`, and the kind of the whole list.

Owns: the two spellings of an entry (a text, or a table with options). Runs in: cli, master. Must not know: sockets.
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from prefork.settings.addresses import Endpoint, parse_endpoint
from prefork.settings.entries import convert_entry, entry_schema, plain_entry
from prefork.settings.kinds.base import InvalidValueError, Kind, Mistake
from prefork.settings.kinds.flag import Flag
from prefork.settings.kinds.numbers import Mode
from prefork.settings.kinds.text import OneOf, Text
from prefork.settings.options import options_of

SYSTEMD = "systemd"
"""In place of an address: wherever systemd listens for us (socket units, systemd.socket(5))."""


class AddressKind(Kind, frozen=True):
    """The text of an address, with an absolute path if it has one; or SYSTEMD, where that is allowed."""

    systemd: bool = True
    takes_text = True

    def convert(self, value: object, directory: str) -> str:
        if self.systemd and value == SYSTEMD:
            return SYSTEMD
        return str(parse_endpoint(value, directory))

    def plain(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{SYSTEMD}$|^unix:.|:[0-9]{{1,5}}$"}


def _is_fd_name(text: str) -> bool:
    # FileDescriptorName= (systemd.socket(5)): printable ASCII without colons, 255 bytes; "prefork-" is what ours are kept as.
    return text.isascii() and text.isprintable() and ":" not in text and len(text) <= 255


def account() -> Text:
    """The kind of a user's or group's name. Whether there is such an account, the master finds out."""
    return Text(
        "must be the name or the number of an account, in quotes",
        lambda text: text.isprintable() and not any(character in " :/" for character in text),
        optional=True,
    )


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One address to listen on. Mode, user and group are those of a unix socket's file; None leaves the default."""

    address: Annotated[str, AddressKind(), Meta(description="Where to listen.")]
    mode: Annotated[int | None, Mode(), Meta(description="Permissions of the socket file.")] = None
    user: Annotated[str | None, account(), Meta(description="Owner of the socket file.")] = None
    group: Annotated[str | None, account(), Meta(description="Group of the socket file.")] = None
    tls: Annotated[bool, Flag(), Meta(description="Speak TLS here, with the certificates of [tls].")] = False
    proxy_protocol: Annotated[
        Literal["off", "optional", "required"],
        OneOf(("off", "optional", "required")),
        Meta(
            description="Whether connections from [proxy] trusted begin with a header of the PROXY protocol."
        ),
    ] = "off"
    name: Annotated[
        str | None,
        Text(
            "must be printable ASCII without colons, as FileDescriptorName= of a socket unit is",
            _is_fd_name,
            optional=True,
        ),
        Meta(
            description="FileDescriptorName= of the socket unit that may listen here in our place, whatever its address."
        ),
    ] = None


LISTEN_OPTIONS = options_of(Listen)


class ListenList(Kind, frozen=True):
    """A list of addresses; one alone needs no list."""

    def convert(self, value: object, directory: str) -> tuple[Listen, ...]:
        items = value if isinstance(value, list) else [value]
        if not items:
            raise ValueError('must name at least one address, such as ["127.0.0.1:8000"]')
        entries: list[Listen] = []
        mistakes: list[Mistake] = []
        for index, item in enumerate(items):
            where = f"[{index}]" if isinstance(value, list) else ""
            entry, found = _entry(item, directory, where)
            mistakes += found
            if entry is None:
                continue
            clash = next((other for other in entries if collide(other, entry)), None)
            if clash is None:
                entries.append(entry)
            else:
                mistakes.append(Mistake(item, f'is already listened on as "{clash.address}"', where))
        if mistakes:
            raise InvalidValueError(mistakes)
        return tuple(entries)

    def plain(self, value: Any) -> Any:
        return [_plain_entry(entry) for entry in value]

    def schema(self) -> dict[str, Any]:
        table = entry_schema(LISTEN_OPTIONS)
        entry = {"anyOf": [LISTEN_OPTIONS["address"].kind.schema(), table]}
        return {"anyOf": [{"type": "array", "items": entry, "minItems": 1}, entry]}


def _entry(item: object, directory: str, where: str) -> tuple[Listen | None, list[Mistake]]:
    """The entry written as `item`, or what is wrong with it."""
    table = item if isinstance(item, dict) else {"address": item}
    values, mistakes = convert_entry(table, LISTEN_OPTIONS, directory, where)
    if not isinstance(item, dict):
        mistakes = [Mistake(each.value, each.rule, where) for each in mistakes]
    if "address" not in table:
        rule = 'must have an address, such as {address = "unix:/run/shop.sock"}'
        mistakes.append(Mistake(item, rule, where))
    if mistakes:
        return None, mistakes
    entry = Listen(**values)
    if entry.address == SYSTEMD or not _endpoint(entry).has_file:
        rule = "is for the file of a unix: socket; this address has none"
        if entry.address == SYSTEMD:
            rule = "is for the socket unit to say (SocketMode=, SocketUser=, SocketGroup=)"
        mistakes = [
            Mistake(table[key], rule, f"{where}.{key}")
            for key in ("mode", "user", "group")
            if getattr(entry, key) is not None
        ]
    return (None, mistakes) if mistakes else (entry, [])


def _plain_entry(entry: Listen) -> Any:
    given = plain_entry(entry, LISTEN_OPTIONS)
    return given if len(given) > 1 else entry.address


def _endpoint(entry: Listen) -> Endpoint:
    return parse_endpoint(entry.address, "/")


def collide(one: Listen, other: Listen) -> bool:
    """Both cannot be had."""
    if SYSTEMD in (one.address, other.address):
        return (one.address, one.name) == (other.address, other.name)
    return _endpoint(one).collides_with(_endpoint(other))
