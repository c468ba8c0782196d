"""Opening files that a stranger names, without leaving a directory.

Owns: that no "..", symbolic link, magic link, device or pipe leads out of the directory or blocks the process, whatever
changes in the file system meanwhile: the kernel walks the path and judges each step (openat2(2), RESOLVE_BENEATH), instead
of us looking first and opening later. Runs in: worker. Must not know: HTTP.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from functools import lru_cache
from typing import NamedTuple

_SYS_OPENAT2 = 437
"""The same number on every architecture that got its system calls after Linux 5.0 (asm-generic/unistd.h)."""

_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_FLAGS = (
    os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
)  # not to wait for the writer of a FIFO: fifo(7)

_UNAVAILABLE = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.E2BIG})
"""An old kernel, or a sandbox that does not know the call (seccomp(2))."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class NoFileError(Exception):
    """There is nothing to send: no such file, a way out of the directory, a pipe, a device."""


class IsDirectoryError(NoFileError):
    """It is a directory."""


class OpenFile(NamedTuple):
    """A regular file, open for reading; whoever gets it closes `fd`."""

    fd: int
    size: int
    mtime_ns: int

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self.fd)


def open_file(root: str, path: bytes, *, follow_symlinks: bool = False) -> OpenFile:
    """The regular file `path` (relative, without "..") in the directory `root`.

    Links that stay below `root` are followed where the kernel can tell (Linux 5.6); with `follow_symlinks` every link is.
    Raises NoFileError; PermissionError and other OSErrors as they come.
    """
    try:
        fd = _open(root, path or b".", follow_symlinks)
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            raise NoFileError(os.strerror(error.errno)) from None
        raise
    try:
        info = os.fstat(fd)
        if stat.S_ISDIR(info.st_mode):
            raise IsDirectoryError("it is a directory")
        if not stat.S_ISREG(info.st_mode):
            raise NoFileError("it is no regular file")
    except BaseException:
        os.close(fd)
        raise
    return OpenFile(fd, info.st_size, info.st_mtime_ns)


_NOTHING_THERE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENAMETOOLONG, errno.ENXIO, errno.ENODEV}
)
"""EXDEV: the path leads out of the directory. ENXIO and ENODEV: a socket, a device without a driver (open(2))."""


def _open(root: str, path: bytes, follow_symlinks: bool) -> int:
    # The directory is opened anew for each file: one that a deploy has replaced would else be served empty for ever.
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if follow_symlinks:
            return os.open(path, _FLAGS, dir_fd=directory)
        if _has_openat2():
            return _openat2(directory, path)
        return _open_step_by_step(directory, path)
    finally:
        os.close(directory)


def _openat2(directory: int, path: bytes) -> int:
    how = _OpenHow(_FLAGS, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    while True:
        fd: int = _syscall(
            _SYS_OPENAT2, directory, ctypes.c_char_p(path), ctypes.byref(how), ctypes.sizeof(how)
        )
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        # EAGAIN: something was renamed while the kernel walked, and it cannot be sure (openat2(2)).
        if number not in (errno.EINTR, errno.EAGAIN):
            raise OSError(number, os.strerror(number))


def _open_step_by_step(directory: int, path: bytes) -> int:
    """Without openat2: each step by itself, and no symbolic link at all."""
    *folders, name = path.split(b"/")
    here = os.dup(directory)
    try:
        for folder in folders:
            there = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = there
        return os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=here)
    finally:
        os.close(here)


_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


@lru_cache(maxsize=1)
def _has_openat2() -> bool:
    directory = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_openat2(directory, b"."))
    except OSError as error:
        return error.errno not in _UNAVAILABLE
    finally:
        os.close(directory)
    return True
