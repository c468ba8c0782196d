"""From `[server] listen`, `[status] listen` and what is there already to what is to be bound.

Owns: names of users and groups in it, as numbers; which entry an inherited socket is for. Runs in: master. Must not know: how
sockets are bound.

A socket that systemd has kept for us, or opened for a socket unit, goes to the entry with its address, or else to the one that
has its FileDescriptorName= as `name`, or else to "systemd". Nobody would ever accept from one that no entry is for: that is
refused, at start and at a reload.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Sequence

import msgspec

from prefork.errors import ConfigError
from prefork.net.address import TcpAddress, parse_address
from prefork.net.inherit import is_at
from prefork.net.listeners import Keeper, Listener, ListenSpec
from prefork.settings.listen import SYSTEMD, Listen
from prefork.settings.model import TABLES, Settings
from prefork.systemd import stored_name

_DEFAULT: tuple[Listen, ...] = TABLES["server"].options["listen"].default


class Wanted(msgspec.Struct, frozen=True):
    """One listener: what it is to be, and the entry that says how it is spoken to."""

    spec: ListenSpec
    entry: Listen


def wanted(settings: Settings, held: Sequence[Listener] = ()) -> list[Wanted]:
    """One for each listener there is to be, in the order of the entries.

    Raises ConfigError: a user or group that does not exist, an inherited socket that nothing is said about, or "systemd"
    without any.
    """
    units = [listener for listener in held if listener.keeper is Keeper.UNIT]
    entries = settings.server.listen
    if units and entries == _DEFAULT and not any(_at(each, entries[0]) for each in units):
        # Written or not, the default is no reason to leave alone what somebody has opened for us.
        entries = (Listen(SYSTEMD),)
    taken = _assign(entries, units)
    found: list[Wanted] = []
    for entry, listeners in zip(entries, taken, strict=True):
        for listener in listeners:
            listener_entry = msgspec.structs.replace(entry, address=str(listener.address))
            found.append(Wanted(ListenSpec(listener.address), listener_entry))
        if listeners:
            continue
        if entry.address == SYSTEMD:
            raise ConfigError(_nothing_passed(entry, units))
        found.append(Wanted(_kept(_spec("server.listen", entry), held), entry))
    return found


def status_specs_of(settings: Settings, held: Sequence[Listener] = ()) -> list[ListenSpec]:
    """One for each entry of `[status] listen`, then of `agent`. Raises ConfigError for a user or group that does not exist."""
    status = settings.status
    entries = [
        *(("status.listen", entry) for entry in status.listen),
        *(("status.agent", entry) for entry in status.agent),
    ]
    return [_kept(_spec(key, entry), held) for key, entry in entries]


def leftovers(settings: Settings, held: Sequence[Listener]) -> list[Listener]:
    """Those that systemd kept for us, and that nothing is said about any more. Raises ConfigError, see `wanted`."""
    specs = [*(each.spec for each in wanted(settings, held)), *status_specs_of(settings, held)]
    stored = [listener for listener in held if listener.keeper is Keeper.STORE]
    return [each for each in stored if not any(_is_kept_for(spec, each) for spec in specs)]


def keeping_name(spec: ListenSpec, listener: Listener) -> str:
    """What systemd is to call the listener."""
    return stored_name(str(spec.address), str(listener.address), listener.file_identity)


def _kept(spec: ListenSpec, held: Sequence[Listener]) -> ListenSpec:
    """The same, but at the address of the socket that systemd has kept for it, if there is one."""
    for listener in held:
        if listener.keeper is Keeper.STORE and _is_kept_for(spec, listener):
            return ListenSpec(listener.address, spec.mode, spec.uid, spec.gid)
    return spec


def _is_kept_for(spec: ListenSpec, listener: Listener) -> bool:
    """By its name, of which a unix socket's file is a part: by now another server may have put its own there."""
    if listener.name == keeping_name(spec, listener):
        return True
    return isinstance(spec.address, TcpAddress) and is_at(listener, spec.address)


def _assign(entries: Sequence[Listen], units: Sequence[Listener]) -> list[list[Listener]]:
    """The sockets of each entry. Raises ConfigError if one is left."""
    taken: list[list[Listener]] = [[] for _ in entries]
    rest = list(units)

    def give(index: int, listener: Listener) -> None:
        taken[index].append(listener)
        rest.remove(listener)

    for index, entry in enumerate(entries):
        for listener in [each for each in rest if not taken[index] and _at(each, entry)]:
            give(index, listener)
    for index, entry in enumerate(entries):
        for listener in [each for each in rest if entry.name == each.name]:
            if entry.address == SYSTEMD or not taken[index]:
                give(index, listener)
    for index, entry in enumerate(entries):
        if entry.address == SYSTEMD and entry.name is None:
            for listener in list(rest):
                give(index, listener)
    if rest:
        raise ConfigError([_unasked(each, entries) for each in rest])
    return taken


def _at(listener: Listener, entry: Listen) -> bool:
    return entry.address != SYSTEMD and is_at(listener, parse_address(entry.address))


def _unasked(listener: Listener, entries: Sequence[Listen]) -> str:
    there = ", ".join(
        f'"{entry.address}"' + (f" named {entry.name}" if entry.name else "") for entry in entries
    )
    return (
        f'systemd passed a socket that listens on {listener.address} (FileDescriptorName "{listener.name}"), but [server] '
        f'listen has no entry for it (it has {there}): add the address, or "{SYSTEMD}", or take it out of the socket unit'
    )


def _nothing_passed(entry: Listen, units: Sequence[Listener]) -> str:
    what = f'no socket named "{entry.name}"' if entry.name else "no socket"
    if units:
        what += f" besides {', '.join(f'{each.address} ({each.name})' for each in units)}"
    return (
        f'server.listen: "{SYSTEMD}", but systemd passed {what}: enable and start the socket unit (prefork.socket) and '
        "start the server through systemd, or name an address"
    )


def _spec(key: str, entry: Listen) -> ListenSpec:
    where = f"{key}: {entry.address}"
    return ListenSpec(parse_address(entry.address), entry.mode, _uid(where, entry), _gid(where, entry))


def _uid(where: str, entry: Listen) -> int | None:
    if not entry.user:
        return None
    if entry.user.isdecimal():
        return _checked(where, "user", int(entry.user))
    try:
        return pwd.getpwnam(entry.user).pw_uid
    except KeyError:
        raise ConfigError(_unknown(where, "user", entry.user)) from None


def _gid(where: str, entry: Listen) -> int | None:
    if not entry.group:
        return None
    if entry.group.isdecimal():
        return _checked(where, "group", int(entry.group))
    try:
        return grp.getgrnam(entry.group).gr_gid
    except KeyError:
        raise ConfigError(_unknown(where, "group", entry.group)) from None


def _checked(where: str, kind: str, number: int) -> int:
    # 2**32 - 1 is "no change" to chown(2).
    if number >= 2**32 - 1:
        raise ConfigError(f"{where}: {kind} = {number}: ids go up to {2**32 - 2}")
    return number


def _unknown(where: str, kind: str, name: str) -> str:
    database = "passwd" if kind == "user" else "group"
    return f"{where}: {kind} = {name!r}: there is no such {kind} (see `getent {database}`)"
