"""Who listens on an address that we could not get.

Owns: reading /proc/net and /proc/PID/fd for one line of an error message. Runs in: master, before an error.
Must not know: how to bind. Never raises, never takes long; without root it sees only processes of the same
user.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

PROC = Path("/proc")
TIME_LIMIT_S = 0.5
"""Of processor time: on a machine that others keep busy the same processes are looked at."""

_TCP_LISTEN = "0A"
"""State in /proc/net/tcp: TCP_LISTEN of the kernel's include/net/tcp_states.h."""
_UNIX_LISTENS = 0x10000
"""Flag in /proc/net/unix: __SO_ACCEPTCON of the kernel's include/uapi/linux/net.h."""
_COMMAND_LENGTH = 60


class Holder(msgspec.Struct, frozen=True):
    """A process, or at least a user, that holds a socket."""

    pid: int | None
    command: str
    uid: int | None

    @property
    def is_us(self) -> bool:
        """This very process holds it."""
        return self.pid == os.getpid()

    def __str__(self) -> str:
        if self.pid is not None:
            return f"pid {self.pid} ({self.command})"
        return f"a process of user id {self.uid} (`ss -lntxp` as root names it)"


def find_tcp_holder(host: str, port: int, proc: Path = PROC) -> Holder | None:
    """Who listens on `host` (numeric) and `port`, or on a wildcard address that covers it."""
    wanted = ipaddress.ip_address(host.partition("%")[0])
    inodes: dict[int, int | None] = {}
    for name in ("tcp", "tcp6"):
        inodes.update(tcp_inodes(_read(proc / "self/net" / name), wanted, port))
    return _holder_of(inodes, proc)


def find_unix_holder(path: str, proc: Path = PROC) -> Holder | None:
    """Who listens on the socket at `path` (or the abstract `@name`)."""
    return _holder_of(dict.fromkeys(unix_inodes(_read(proc / "self/net/unix"), path)), proc)


def tcp_inodes(
    table: str, wanted: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> Iterator[tuple[int, int]]:
    """Inode and user id of each listening socket in a /proc/net/tcp table that collides with the address."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _TCP_LISTEN:
            continue
        address, _, port_hex = fields[1].partition(":")
        if int(port_hex, 16) != port:
            continue
        host = _parse_hex_address(address)
        # A wildcard IPv6 socket may hold the IPv4 port too.
        if host == wanted or host.is_unspecified or wanted.is_unspecified:
            yield int(fields[9]), int(fields[7])


def unix_inodes(table: str, path: str) -> Iterator[int]:
    """Inode of each listening socket with this path in a /proc/net/unix table."""
    for line in table.splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & _UNIX_LISTENS:
            yield int(fields[6])


def _parse_hex_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    # Words of 32 bits, each printed as a number of the machine: proc_net_tcp in the kernel's documentation.
    words = (int(text[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(text), 8))
    return ipaddress.ip_address(b"".join(words))


def _holder_of(inodes: Mapping[int, int | None], proc: Path) -> Holder | None:
    if not inodes:
        return None
    parents = {pid: _parent(proc, pid) for pid in _processes_with(frozenset(inodes), proc)}
    for pid, parent in sorted(parents.items()):
        # Of a family of processes that share the socket: the one that started the others.
        if parent not in parents:
            return Holder(pid, _command(proc, pid), None)
    uid = next(iter(inodes.values()))
    return None if uid is None else Holder(None, "", uid)


def _processes_with(
    inodes: frozenset[int], proc: Path, clock: Callable[[], float] = time.process_time
) -> Iterator[int]:
    links = {f"socket:[{inode}]" for inode in inodes}
    deadline = clock() + TIME_LIMIT_S
    # Ourselves first: that one is always found.
    for process in sorted(_list(proc), key=lambda path: path.name != str(os.getpid())):
        if not process.name.isdecimal():
            continue
        if clock() > deadline:
            return
        if any(_link(fd) in links for fd in _list(process / "fd")):
            yield int(process.name)


def _parent(proc: Path, pid: int) -> int:
    # "pid (command) state parent": the command may hold spaces and parentheses (proc(5)).
    fields = _read(proc / str(pid) / "stat").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _command(proc: Path, pid: int) -> str:
    text = _read(proc / str(pid) / "cmdline").replace("\0", " ").strip()
    text = text or _read(proc / str(pid) / "comm").strip()
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _COMMAND_LENGTH else text[: _COMMAND_LENGTH - 3] + "..."


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _list(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
