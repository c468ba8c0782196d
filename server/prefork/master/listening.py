"""From `[server] listen` to what is to be bound.

Owns: names of users and groups in it, as numbers. Runs in: master. Must not know: sockets.
"""

from __future__ import annotations

import grp
import pwd

from prefork.errors import ConfigError
from prefork.net.address import parse_address
from prefork.net.listeners import ListenSpec
from prefork.settings.listen import Listen
from prefork.settings.model import Settings


def listen_specs(settings: Settings) -> list[ListenSpec]:
    """One spec for each entry, in their order. Raises ConfigError for a user or group that does not exist."""
    return [
        ListenSpec(parse_address(entry.address), entry.mode, _uid(entry), _gid(entry))
        for entry in settings.server.listen
    ]


def _uid(entry: Listen) -> int | None:
    if not entry.user:
        return None
    if entry.user.isdecimal():
        return _checked(entry, "user", int(entry.user))
    try:
        return pwd.getpwnam(entry.user).pw_uid
    except KeyError:
        raise ConfigError(_unknown(entry, "user", entry.user)) from None


def _gid(entry: Listen) -> int | None:
    if not entry.group:
        return None
    if entry.group.isdecimal():
        return _checked(entry, "group", int(entry.group))
    try:
        return grp.getgrnam(entry.group).gr_gid
    except KeyError:
        raise ConfigError(_unknown(entry, "group", entry.group)) from None


def _checked(entry: Listen, kind: str, number: int) -> int:
    # 2**32 - 1 is "no change" to chown(2).
    if number >= 2**32 - 1:
        raise ConfigError(f"server.listen: {entry.address}: {kind} = {number}: ids go up to {2**32 - 2}")
    return number


def _unknown(entry: Listen, kind: str, name: str) -> str:
    database = "passwd" if kind == "user" else "group"
    return f"server.listen: {entry.address}: {kind} = {name!r}: there is no such {kind} (see `getent {database}`)"
