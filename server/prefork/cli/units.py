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
    "LogsDirectory",
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


def other_text(file: str, installation: Installation) -> str:
    """`prefork.sysusers` and the like, about this server's user, directories and unit."""
    text = unit_text(file)
    if file == "prefork.sysusers":
        text = text.replace("u prefork ", f"u {installation.user or installation.name} ")
    elif file == "prefork.tmpfiles":
        directory = _configuration(installation) or installation.name
        text = text.replace("d /etc/prefork ", f"d /etc/{directory} ")
    return _about(text, installation.name)


def service_text(installation: Installation, *, instance: bool) -> str:
    """`prefork.service`, or `prefork@.service`."""
    directory = _configuration(installation)

    def changed(key: str, value: str) -> str | None:
        if key in ("ExecStart", "ExecReload"):
            config = installation.config if instance else escaped(installation.config)
            return value.replace(COMMAND, installation.command).replace(
                INSTANCE_CONFIG if instance else CONFIG, config
            )
        if key == "ConfigurationDirectory":
            return directory
        if key == "ProtectHome" and any(path.startswith(_HOMES) for path in _paths(installation)):
            return "read-only"
        if key == "User" and installation.user is not None:
            return installation.user
        if key == "DynamicUser" and installation.user is not None:
            return "no"
        return _named(key, value, installation.name)

    text = unit_text("prefork@.service" if instance else "prefork.service")
    first = INSTANCE_CONFIG if instance else CONFIG
    text = text.replace(
        f"reads {first}".replace("%i", "NAME"), f"reads {installation.config}".replace("%i", "NAME"), 1
    )
    if directory is not None:
        text = text.replace("# /etc/prefork: ", f"# /etc/{directory}: ")
    return _rewritten(text, changed, installation.name)


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

    text = _rewritten(
        unit_text("prefork@.socket" if instance else "prefork.socket"), changed, installation.name
    )
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


def _configuration(installation: Installation) -> str | None:
    """The directory of /etc that has the settings, if it is one of theirs alone."""
    found = re.match(r"/etc/([^/%]+)/", installation.config)
    return found[1] if found else None


_NAME_IN_COMMENT = re.compile(
    r"prefork(?=@|\.(?:service|socket|sock|conf|catalog)\b)"
    r"|(?<=/var/lib/)prefork|(?<=/var/cache/)prefork|(?<=/var/log/)prefork|(?<=/etc/logrotate\.d/)prefork"
    r"|(?<=systemctl edit )prefork|(?<=--what=fdstore )prefork"
)
"""The server's name, where it does not mean the program."""


def _about(text: str, name: str) -> str:
    """A comment, or a file that has no settings of systemd, of a server of that name."""
    if name == "prefork":
        return text
    text = re.sub(r"/run/prefork(?=[,:/ ])", f"/run/prefork-{name}", text)
    text = text.replace("systemd-unit --sysusers", f"systemd-unit --sysusers --name {name}")
    return _NAME_IN_COMMENT.sub(name, text)


def _rewritten(text: str, changed: Callable[[str, str], str | None], name: str) -> str:
    """Every setting with the value that `changed` gives it; None takes it out, with the comment that is its own."""
    lines: list[str] = []
    given = text.splitlines()
    for line, following in zip(given, [*given[1:], ""], strict=True):
        key, equals, value = line.partition("=")
        if line.startswith("#") or not equals:
            lines.append(_about(line, name))
            continue
        fresh = changed(key, value)
        if fresh is not None:
            lines.append(f"{key}={fresh}")
        elif following.startswith("#"):
            while lines and lines[-1].startswith("#"):
                lines.pop()
    return "\n".join(lines) + "\n"
