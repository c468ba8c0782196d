"""A network of its own for one test: hosts with addresses of their own, on a bridge that nothing else is connected to.

Network namespaces (ip-netns(8)): what happens in them stays in them, so tests may use fixed addresses and ports beside each
other. Needs root and iproute2.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

_CLONE_NEWNET = 0x40000000

IP = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")


class Host:
    """One network namespace. `command` is to be put in front of a program's arguments."""

    def __init__(self, name: str) -> None:
        assert IP is not None
        self.name = name
        self.command = [IP, "netns", "exec", name]

    def run(self, *arguments: str) -> str:
        """What a program that succeeds prints."""
        return subprocess.run([*self.command, *arguments], check=True, capture_output=True, text=True).stdout

    def enter(self) -> None:
        """The calling thread makes its sockets here from now on (setns(2))."""
        enter_network(Path(f"/run/netns/{self.name}"))


def enter_network(namespace: Path) -> None:
    """The calling thread makes its sockets in that network namespace from now on. Raises OSError."""
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(fd)


@cache
def unavailable() -> str:
    """Why there can be no network here; empty if there can."""
    if IP is None:
        return "ip is not installed (Debian: iproute2)"
    if os.geteuid() != 0:
        return "network namespaces are root's"
    try:
        with network(["10.0.0.1"]):
            return ""
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.strip()}"


@contextmanager
def network(addresses: Sequence[str]) -> Iterator[list[Host]]:
    """A host for each address (IPv4, all in one network of 256)."""
    # A name that nobody else has, and that says whose it is.
    label = Path(tempfile.mktemp(prefix="prefork-", dir="/")).name
    with ExitStack() as stack:
        switch = _namespace(f"{label}-switch", stack)
        _ip("-n", switch.name, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", switch.name, "link", "set", "bridge0", "up")
        hosts = []
        for number, address in enumerate(addresses):
            host = _namespace(f"{label}-{number}", stack)
            port = f"port{number}"
            _ip("-n", switch.name, "link", "add", port, "type", "veth", "peer", "eth0", "netns", host.name)
            _ip("-n", switch.name, "link", "set", port, "master", "bridge0", "up")
            _ip("-n", host.name, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", host.name, "link", "set", "eth0", "up")
            _ip("-n", host.name, "link", "set", "lo", "up")
            hosts.append(host)
        yield hosts


def _namespace(name: str, stack: ExitStack) -> Host:
    _ip("netns", "add", name)
    # Deleted, its name goes; the rest goes with the last process in it.
    stack.callback(_ip, "netns", "delete", name)
    return Host(name)


def _ip(*arguments: str) -> None:
    assert IP is not None
    subprocess.run([IP, *arguments], check=True, capture_output=True, text=True)
