"""Listening unix sockets and their files.

Owns: the socket file, its mode and owner, the decision that one is stale. Runs in: master. Must not know:
TCP, workers.

A socket that is bound but does not listen yet refuses connections: mode and owner are right before the first
client can get in. Binding under another name and renaming would be no better, and getsockname(2), ss(8) and
/proc/net/unix would show the other name for ever.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from prefork.errors import ListenError
from prefork.net.address import UnixAddress
from prefork.net.holder import find_unix_holder

MAX_PATH = 107
"""Bytes of the longest path or abstract name: sun_path has 108, one for the NUL (unix(7))."""

_LOCK_PATIENCE_S = 1.0


class FileId(NamedTuple):
    """Which file a path stood for when we made it."""

    device: int
    inode: int


def bind_unix(
    address: UnixAddress, backlog: int, mode: int | None, uid: int | None, gid: int | None
) -> socket.socket:
    """A listening socket: non-blocking, close-on-exec.

    `mode` None: 0777 less the umask. `uid`, `gid` None: those of this process. A stale socket file is
    replaced. Raises ListenError.
    """
    start = f"cannot listen on {address}: "
    length = len(os.fsencode(address.path))
    if length > MAX_PATH:
        raise ListenError(
            f"{start}the path has {length} bytes, the system allows {MAX_PATH}; use a shorter one"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if address.is_abstract:
            _bind_abstract(sock, address, backlog, (mode, uid, gid) != (None, None, None))
        else:
            with _directory_lock(address.path):
                _make_way(address)
                _bind_file(sock, address, backlog, mode, uid, gid)
    except OSError as error:
        sock.close()
        raise ListenError(start + _explain(address, error)) from error
    except ListenError:
        sock.close()
        raise
    return sock


def file_id(path: str) -> FileId | None:
    """The file at `path` now; None if there is none, or none that we may see."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return FileId(status.st_dev, status.st_ino)


def remove_socket_file(path: str, ours: FileId) -> None:
    """Remove the socket file at `path` if it is still `ours`: another server may have put its own there."""
    with _directory_lock(path), contextlib.suppress(OSError):
        if file_id(path) == ours:
            Path(path).unlink()


def change_socket_file(path: str, ours: FileId, mode: int | None, uid: int | None, gid: int | None) -> None:
    """Give the socket file at `path`, if it is still `ours`, another mode and owner. Raises ListenError.

    As in `bind_unix`: None is what a new file would get.
    """
    try:
        # O_PATH: the file itself, whatever its mode; not what a symbolic link put there meanwhile points to (open(2)).
        fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if FileId(status.st_dev, status.st_ino) != ours:
                raise ListenError(f"{path} is not the socket that this server made")
            itself = f"/proc/self/fd/{fd}"
            wanted = (os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid)
            if wanted != (status.st_uid, status.st_gid):
                os.chown(itself, *wanted)
            os.chmod(itself, 0o777 & ~_umask() if mode is None else mode)  # noqa: PTH101
        finally:
            os.close(fd)
    except OSError as error:
        raise ListenError(f"cannot change the mode and owner of {path}: {error.strerror}") from error


def _umask() -> int:
    # There is no other way to read it (umask(2)); the master has one thread.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _bind_abstract(sock: socket.socket, address: UnixAddress, backlog: int, has_owner: bool) -> None:
    if has_owner:
        raise ListenError(f"cannot listen on {address}: an abstract socket has no mode, user or group")
    sock.bind("\0" + address.path[1:])
    sock.listen(backlog)


def _bind_file(
    sock: socket.socket,
    address: UnixAddress,
    backlog: int,
    mode: int | None,
    uid: int | None,
    gid: int | None,
) -> None:
    if mode is None:
        sock.bind(address.path)
    else:
        # bind(2) gives the file the mode of the socket less the umask. Changing the mode by path afterwards
        # would follow a symbolic link that somebody put there meanwhile.
        os.fchmod(sock.fileno(), mode)
        umask = os.umask(0)
        try:
            sock.bind(address.path)
        finally:
            os.umask(umask)
    try:
        if uid is not None or gid is not None:
            _give_away(address.path, uid, gid)
        sock.listen(backlog)
    except BaseException:
        Path(address.path).unlink()
        raise


def _give_away(path: str, uid: int | None, gid: int | None) -> None:
    try:
        os.chown(path, -1 if uid is None else uid, -1 if gid is None else gid, follow_symlinks=False)
    except OverflowError as error:
        raise ListenError(
            f"cannot listen on unix:{path}: there is no user id {uid} or no group id {gid}; ids have 32 bits"
        ) from error
    except PermissionError as error:
        raise ListenError(
            f"cannot listen on unix:{path}: only root may give the socket to user id {uid}, group id {gid}"
        ) from error


def _make_way(address: UnixAddress) -> None:
    """Remove a socket that nobody listens on any more; refuse if anything else is in the way."""
    path = address.path
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ListenError(
            f"cannot listen on {address}: the file there is no socket; move it or use another path"
        )
    if not _is_stale(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    if FileId(status.st_dev, status.st_ino) == file_id(path):
        Path(path).unlink()


def _is_stale(path: str) -> bool:
    """Nothing can ever answer there. Anything but a plain refusal means that something may."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(path) in (errno.ECONNREFUSED, errno.ENOENT)


@contextlib.contextmanager
def _directory_lock(path: str) -> Iterator[None]:
    """Keep two servers from finding the same stale socket and each removing what the other made.

    Advisory, and only for a moment: others lock directories too, some for long (systemd-tmpfiles(8) asks them
    to), so after _LOCK_PATIENCE_S it goes on without.
    """
    try:
        directory = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        deadline = time.monotonic() + _LOCK_PATIENCE_S
        while not _try_lock(directory) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield
    finally:
        os.close(directory)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _explain(address: UnixAddress, error: OSError) -> str:
    directory = str(Path(address.path).parent)
    if error.errno == errno.EADDRINUSE:
        holder = find_unix_holder(address.path)
        return f"a server answers there{f': {holder}' if holder else ''}; stop it or use another path"
    if error.errno == errno.ENOENT:
        return f"the directory {directory} does not exist (systemd: RuntimeDirectory=)"
    if error.errno == errno.ENOTDIR:
        return f"{directory} is not a directory"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"user id {os.geteuid()} may not create a socket in {directory}"
    return os.strerror(error.errno or 0).lower()
