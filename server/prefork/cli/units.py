"""Unit files for an installation: the ones of the project, with other paths, names and users in them.

Owns: what in them depends on the installation. Pure, but for reading the files. Runs in: cli. Must not know: where they go.

They are data of the package: `prefork/units` is a link to `systemd/` of the source, and a directory where prefork is installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from prefork.settings.listen import SYSTEMD, Listen

COMMAND = "/usr/bin/prefork"
CONFIG = "/etc/prefork/server.toml"
INSTANCE_CONFIG = "/etc/prefork/%i.toml"

_NAMED = {
    "After",
    "Description",
    "User",
    "StateDirectory",
    "CacheDirectory",
    "RuntimeDirectory",
    "WorkingDirectory",
}
"""Keys whose values hold the name of the server."""

_HOMES = ("/home/", "/root/", "/run/user/")
"""What ProtectHome= hides (systemd.exec(5))."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What a unit has to know."""

    command: str
    """The program, and how it is started: a path, or several words."""
    config: str
    name: str = "prefork"
    user: str | None = None
    """None: one that systemd makes up."""
    paths: Sequence[str] = ()
    """Further ones that the service must be able to read."""


def unit_text(file: str) -> str:
    """As the project has it. `file` is a name in `systemd/`."""
    return files("prefork").joinpath("units", *file.split("/")).read_text(encoding="utf-8")


def service_text(installation: Installation, *, instance: bool) -> str:
    """`prefork.service`, or `prefork@.service`."""

    def changed(key: str, value: str) -> str | None:
        if key in ("ExecStart", "ExecReload"):
            config = installation.config if instance else escaped(installation.config)
            return value.replace(COMMAND, installation.command).replace(
                INSTANCE_CONFIG if instance else CONFIG, config
            )
        if key == "ConfigurationDirectory":
            found = re.match(r"/etc/([^/%]+)/", installation.config)
            return found[1] if found else None
        if key == "ProtectHome" and any(path.startswith(_HOMES) for path in _paths(installation)):
            return "read-only"
        if key == "User" and installation.user is not None:
            return installation.user
        if key == "DynamicUser" and installation.user is not None:
            return "no"
        return _named(key, value, installation.name)

    return _rewritten(unit_text("prefork@.service" if instance else "prefork.service"), changed)


def socket_text(
    installation: Installation, entries: Sequence[Listen], fd_name: str, *, instance: bool
) -> str:
    """`prefork.socket` or `prefork@.socket`, for those of `entries` that go by `fd_name`."""
    wanted = [each for each in entries if each.address != SYSTEMD and (each.name or "http") == fd_name]
    streams = [each.address.removeprefix("unix:") for each in wanted]
    with_file = next((each for each in wanted if each.address.startswith("unix:/")), None)
    given = {
        "SocketMode": None if with_file is None or with_file.mode is None else f"{with_file.mode:04o}",
        "SocketUser": None if with_file is None else with_file.user,
        "SocketGroup": None if with_file is None else with_file.group,
    }
    first = True

    def changed(key: str, value: str) -> str | None:
        nonlocal first
        if key == "FileDescriptorName":
            return fd_name
        if key == "ListenStream" and streams:
            lines, first = ("\nListenStream=".join(streams), False) if first else (None, first)
            return lines
        if key == "SocketMode":
            owners = [f"\n{each}={given[each]}" for each in ("SocketUser", "SocketGroup") if given[each]]
            return (given[key] or value) + "".join(owners)
        return (
            value.replace("prefork", installation.name, 1)
            if key in ("ListenStream", "Description")
            else value
        )

    text = _rewritten(unit_text("prefork@.socket" if instance else "prefork.socket"), changed)
    if fd_name != "http":
        text = text.replace(
            "[Socket]\n", f"[Socket]\nService={installation.name}{'@%i' if instance else ''}.service\n"
        )
    return text


def unreadable(installation: Installation, mode_of: Callable[[str], int]) -> str | None:
    """The first directory that a made-up user cannot pass on the way to what it needs. `mode_of` gives 0 for unknown."""
    if installation.user is not None:
        return None
    for path in _paths(installation):
        parts = path.split("/")
        for end in range(2, len(parts)):
            directory = "/".join(parts[:end])
            mode = mode_of(directory)
            if mode and not mode & 0o001:
                return directory
    return None


def escaped(text: str) -> str:
    """One word of a command line in a unit (systemd.service(5), systemd.unit(5))."""
    text = text.replace("%", "%%")
    return (
        text
        if re.fullmatch(r"[A-Za-z0-9_./@:%+,=-]+", text)
        else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
    )


def _paths(installation: Installation) -> list[str]:
    return [installation.config, *installation.paths]


def _named(key: str, value: str, name: str) -> str:
    if name == "prefork":
        return value
    if key == "Description":
        return f"{value}: {name}"
    if key == "RuntimeDirectory":
        # Where root's commands look for control sockets.
        return value.replace("prefork", f"prefork-{name}", 1)
    return value.replace("prefork", name, 1) if key in _NAMED else value


def _rewritten(text: str, changed: Callable[[str, str], str | None]) -> str:
    """Every setting with the value that `changed` gives it; None takes it out."""
    lines = []
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if line.startswith("#") or not equals:
            lines.append(line)
            continue
        fresh = changed(key, value)
        if fresh is not None:
            lines.append(f"{key}={fresh}")
    return "\n".join(lines) + "\n"
