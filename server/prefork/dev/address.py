"""Where a development server listens.

Owns: from a host name, a port or a descriptor to a listening socket, and its end. Runs in: the developer's process. Must not
know: what is served there.
"""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from prefork.errors import ListenError
from prefork.net.address import TcpAddress, UnixAddress, parse_address
from prefork.net.holder import find_tcp_holder
from prefork.net.tcp import bind_tcp, numeric_address
from prefork.net.unix import FileId, bind_unix, file_id, remove_socket_file

BACKLOG = 128

_UNIX = "unix://"


class Listening(msgspec.Struct):
    """A listening socket."""

    sock: socket.socket
    host: str
    """As it was asked for."""
    port: int
    """The real one; for a unix socket as it was asked for."""
    file: FileId | None = None
    """The socket file, if it is ours to remove."""
    inherited: bool = False
    """Somebody else has it too, and serves there when we are gone."""

    @property
    def path(self) -> str:
        """Of a unix socket; empty for TCP."""
        return unix_path(self.host) if self.sock.family == socket.AF_UNIX else ""

    def close(self) -> None:
        """The end of the address; may be called again."""
        if self.file is not None:
            remove_socket_file(self.path, self.file)
            self.file = None
        self.sock.close()


def unix_path(host: str) -> str:
    """What `unix://PATH` stands for: an absolute path, or @ and an abstract name."""
    path = host.removeprefix(_UNIX)
    return path if path.startswith("@") else str(Path(path).absolute())


def listen(host: str, port: int, fd: int | None = None) -> Listening:
    """A socket that listens on `host` (a name, an address, `unix://PATH`) and `port` (0: any free one), or a copy of `fd`, which
    somebody else has bound for the same purpose. Raises ListenError, ValueError for what is no address."""
    if fd is not None:
        return _inherited(host, fd)
    if host.startswith(_UNIX):
        path = unix_path(host)
        sock = bind_unix(UnixAddress(path), BACKLOG, None, None, None)
        return Listening(sock, host, port, None if path.startswith("@") else file_id(path))
    name = host or "0.0.0.0"
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    address = parse_address(f"{name}:{port}")
    assert not isinstance(address, UnixAddress)
    try:
        sock = bind_tcp(address, BACKLOG)
    except ListenError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
            raise
        raise ListenError(_in_own_words(address) or str(error)) from error.__cause__
    return Listening(sock, host, sock.getsockname()[1])


def _in_own_words(address: TcpAddress) -> str:
    """Who has it, if it is ourselves: test suites start many servers in one process. Empty: somebody else."""
    numeric = numeric_address(address)
    holder = find_tcp_holder(numeric.host, numeric.port)
    if holder is None or not holder.is_us:
        return ""
    return (
        f"cannot listen on {address}: another server of this process (pid {holder.pid}) does; close that, or use port 0 "
        "for any free one"
    )


def _inherited(host: str, fd: int) -> Listening:
    try:
        sock = socket.socket(fileno=os.dup(fd))
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ListenError(f"descriptor {fd} is no socket that listens: {error.strerror}") from error
    if not listens:
        sock.close()
        raise ListenError(f"descriptor {fd} is a socket, but does not listen")
    sock.set_inheritable(False)
    sock.setblocking(False)
    name: Any = sock.getsockname()
    return Listening(sock, host, name[1] if isinstance(name, tuple) else 0, inherited=True)
