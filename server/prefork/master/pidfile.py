"""The pid file: one server a file, and its number for scripts and people.

Owns: the file and the lock on it. Runs in: master. Must not know: settings, the pool.

The lock (flock(2)) says whether the server lives, not the number in the file: it ends with the process however that
died, and the number may long be that of another program. It belongs to the open file description, so no other process
may inherit the descriptor (close-on-exec; the master starts others only with exec).
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from prefork.errors import AlreadyRunningError, ConfigError

_LONGEST = 32
"""Bytes a pid file may have; more is something else, which an error in the settings must not destroy."""


class PidFile:
    """A pid file that this process holds."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: Path, fd: int) -> None:
        """For `acquire`, and after an upgrade: `fd` is open and locked."""
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, path: str | Path) -> PidFile:
        """Lock the file at `path` and write this process's number into it. A stale one is taken over.

        Raises AlreadyRunningError if a living server holds it, ConfigError if it cannot be written.
        """
        path = Path(path)
        try:
            fd = _open_locked(path)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            _write(fd, os.getpid())
        except OSError as error:
            path.unlink(missing_ok=True)
            os.close(fd)
            raise _unusable(path, error) from error
        return cls(path, fd)

    def fileno(self) -> int:
        """The descriptor that holds the lock."""
        return self._fd

    def release(self) -> None:
        """Remove the file, if it is still ours, and let go of the lock. May be called again."""
        if self._fd < 0:
            return
        try:
            # Before the lock is gone: afterwards it may be the next server's.
            if _is_at(self._fd, self.path):
                self.path.unlink()
        except OSError:
            # The directory went read-only or away: what stays behind is stale, and the next start takes it over.
            pass
        finally:
            os.close(self._fd)
            self._fd = -1


def _open_locked(path: Path) -> int:
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        fd = os.open(path, flags, 0o644)
        try:
            if _lock(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _lock(fd: int, path: Path) -> bool:
    """False: the file was removed between opening and locking (its server just stopped); open it again."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, _LONGEST, 0).strip().decode("ascii", "replace")
        holder = f"pid {text}" if text.isdecimal() else "it is just starting"
        raise AlreadyRunningError(
            f"another server holds the pid file {path} ({holder}); stop it, or set another server.pid_file"
        ) from None
    if not _is_at(fd, path):
        return False
    if not _looks_like_one(fd):
        raise ConfigError(
            f"server.pid_file = {str(path)!r}: there is a file that is no pid file; use another path"
        )
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(fd))


def _looks_like_one(fd: int) -> bool:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return False
    text = os.pread(fd, _LONGEST + 1, 0)
    return len(text) <= _LONGEST and (not text.strip() or text.strip().isdigit())


def _write(fd: int, pid: int) -> None:
    # Empty, then whole: a reader never sees a part of the number, or the old one's last digits behind it.
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % pid, 0)


def _unusable(path: Path, error: OSError) -> ConfigError:
    if isinstance(error, FileNotFoundError):
        reason = f"the directory {path.parent} does not exist (systemd: RuntimeDirectory=)"
    elif isinstance(error, PermissionError):
        reason = f"user id {os.geteuid()} may not write it"
    else:
        reason = os.strerror(error.errno or 0).lower()
    return ConfigError(f"server.pid_file = {str(path)!r}: {reason}")
