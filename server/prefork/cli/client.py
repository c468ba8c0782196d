"""Talking to a running server.

Owns: finding its control socket, one request and its answers, and what it means that nobody is there. Runs in: cli. Must not
know: what the commands mean.
"""

from __future__ import annotations

import argparse
import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prefork.cli.command import UsageError
from prefork.errors import ConfigError, PreforkError
from prefork.ipc.control import (
    MAX_REPLY,
    AnyReply,
    Lines,
    Progress,
    ProtocolError,
    Request,
    Result,
    decode_reply,
    encode,
)
from prefork.settings.control import OFF, ROOT_DIRECTORY, control_directories, digest, identity_of, is_private
from prefork.settings.tomlfile import read_tables

_ANSWER_S = 30.0
"""For the beginning of an answer to a command that does not wait. The master answers in milliseconds."""


_CREDENTIALS = struct.Struct("3i")
"""struct ucred: pid, uid, gid (unix(7)); of a connected socket, those of whoever called listen(2)."""


class NoServerError(PreforkError):
    """Nobody answers."""


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Which server is meant."""
    parser.add_argument("-c", "--config", metavar="FILE", help="settings file of the server")
    parser.add_argument("--control", metavar="PATH", help="its control socket (server.control)")


def ask(
    arguments: argparse.Namespace,
    request: Request,
    tell: Callable[[Progress], None],
    *,
    patient: bool = False,
    until_end: bool = False,
) -> Result:
    """Send `request` to the server that `arguments` mean; `tell` gets each step, the result is returned.

    `patient` is for a result that may take as long as it likes, `until_end` for one after which the server ends: its process
    is waited for. Raises NoServerError, ProtocolError, ConfigError.
    """
    path = find_control(arguments)
    return ask_at(path, request, tell, timeout_s=None if patient else _ANSWER_S, until_end=until_end)


def ask_at(
    path: str,
    request: Request,
    tell: Callable[[Progress], None] = lambda _: None,
    *,
    timeout_s: float | None = _ANSWER_S,
    until_end: bool = False,
) -> Result:
    """As `ask`, the server whose socket is at `path`; each part of the answer may take `timeout_s`. Raises NoServerError."""
    with _connect(path) as sock, ExitStack() as stack:
        end = stack.enter_context(_end_of_server(sock)) if until_end else None
        sock.settimeout(timeout_s)
        try:
            sock.sendall(encode(request))
            for reply in _replies(sock):
                if isinstance(reply, Result):
                    if end is not None and reply.ok:
                        end.wait()
                    return reply
                tell(reply)
        except TimeoutError:
            raise NoServerError(f"the server at {path} does not answer") from None
        except (ConnectionError, BrokenPipeError) as error:
            raise NoServerError(f"the server at {path} has gone: {error.strerror}") from None
        except ProtocolError as error:
            raise NoServerError(f"at {path}: {error}") from None
    raise NoServerError(f"the server at {path} has gone before it had an answer")


def find_control(arguments: argparse.Namespace) -> str:
    """The path of the socket. Raises NoServerError with where it was looked for, ConfigError for a file that is not there."""
    if arguments.control is not None:
        return str(os.path.abspath(arguments.control))  # noqa: PTH100 - a text
    if arguments.config is not None:
        return _of_file(os.path.abspath(arguments.config))  # noqa: PTH100
    running = [path for directory in _directories() for path in _answering(directory)]
    if not running:
        places = " or ".join(control_directories())
        raise NoServerError(
            f"no server of yours is running (looked in {places}); say which one with -c FILE or --control PATH"
        )
    if len(running) > 1:
        raise UsageError(
            f"several servers are running: say which one with -c FILE or --control {' or '.join(running)}"
        )
    return running[0]


def _of_file(file: str) -> str:
    """Where the server of this settings file listens, even if the file is broken now."""
    if not Path(file).exists():
        raise ConfigError(f"{file}: cannot be read: {os.strerror(errno.ENOENT)}")
    path = _set_control(file)
    if path == OFF:
        raise NoServerError(
            f'the server of {file} has no control socket (server.control = "off"); signals work'
        )
    name = f"*-{digest(identity_of(file, '', ''))}.sock"
    if path and Path(path).parent.as_posix() != control_directories()[0]:
        return path
    # By the digest alone: the name may have changed, and there may be more than one place.
    found = [each for directory in _directories() for each in _answering(directory, name)]
    if not found:
        raise NoServerError(
            f"no server of {file} is running (looked for {name} in {' and '.join(control_directories())})"
        )
    return found[0]


def _directories() -> tuple[str, ...]:
    """Where servers of this user may be; root's commands find those that systemd runs as instances too."""
    usual = control_directories()
    if os.geteuid() != 0:
        return usual
    instances = sorted(
        str(path) for path in Path("/run").glob(f"{Path(ROOT_DIRECTORY).name}-*") if path.is_dir()
    )
    return tuple(dict.fromkeys((*usual, *instances)))


def _set_control(file: str) -> str:
    """`[server] control` of the file; empty: it is not set, or the file cannot be read."""
    try:
        written: object = read_tables(file).get("server", {}).get("control")
    except (ConfigError, AttributeError):
        return ""
    if written is None:
        # As in most files. The model of all settings takes a third of the time of such a command, on a machine that may be busy.
        return ""
    from prefork.settings.load import load

    try:
        return load(file).settings.server.control
    except ConfigError:
        # Something else is wrong, perhaps.
        if not isinstance(written, str) or not written or written == OFF:
            return ""
        return str(os.path.join(os.path.dirname(file), written))  # noqa: PTH118, PTH120


def _answering(directory: str, pattern: str = "*.sock") -> list[str]:
    """Sockets of living servers in a directory."""
    found: list[str] = []
    if Path(directory).parent != Path("/run") and not is_private(directory):
        # In /run only root makes directories, and systemd for the users of units. Elsewhere somebody else's may say anything.
        return found
    for path in sorted(Path(directory).glob(pattern)):
        try:
            _connect(str(path)).close()
        except NoServerError:
            continue
        found.append(str(path))
    return found


def _connect(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(_ANSWER_S)
        sock.connect(path)
    except OSError as error:
        sock.close()
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
            raise NoServerError(f"no server is running at {path}") from None
        if error.errno in (errno.EACCES, errno.EPERM):
            who = "root or the user who started it"
            raise NoServerError(
                f"user id {os.geteuid()} may not control the server at {path}; {who} may"
            ) from None
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise NoServerError(f"cannot reach the server at {path}: {reason}") from None
    return sock


class _End:
    """The end of a process that is not our child; None: it is gone already."""

    def __init__(self, pidfd: int | None) -> None:
        self._pidfd = pidfd

    def wait(self) -> None:
        """Block until then."""
        if self._pidfd is not None:
            poller = select.poll()
            # Readable when the process has ended (pidfd_open(2)).
            poller.register(self._pidfd, select.POLLIN)
            poller.poll()


@contextmanager
def _end_of_server(sock: socket.socket) -> Iterator[_End]:
    pid, _, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        # 0 or gone: it is in another namespace of process numbers, or has just ended.
        yield _End(None)
        return
    try:
        yield _End(pidfd)
    finally:
        os.close(pidfd)


def _replies(sock: socket.socket) -> Iterator[AnyReply]:
    lines = Lines(MAX_REPLY)
    while data := sock.recv(65536):
        for line in lines.feed(data):
            yield decode_reply(line)
