"""The log files, opened by the master for everybody.

Owns: which files are open, under which numbers. Runs in: master (as root, if it was started as root). Must not know:
what is logged.

A file keeps its descriptor number for as long as it is open: processes inherit it, write to it, and after a rotation get
the fresh file under the same number (USR1).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from prefork.errors import ConfigError
from prefork.observe.files import open_log

_STREAMS = {"stdout": 1, "stderr": 2}


class LogFiles:
    """Open log files by path."""

    def __init__(self, inherited: Mapping[str, int] | None = None) -> None:
        """`inherited`: files that are open already, by path."""
        self._open: dict[str, int] = dict(inherited or {})

    def descriptors(self) -> dict[str, int]:
        """What is open, by path."""
        return dict(self._open)

    def open(self, output: str) -> int:
        """The descriptor for `[log] output` or `access`: a stream of the master's, or a file. Raises ConfigError."""
        if output in _STREAMS:
            return _STREAMS[output]
        fd = self._open.get(output)
        if fd is None:
            self._open[output] = fd = open_log(output)
        elif not _leads_to(output, fd):
            # Renamed or removed since, and a generation that is parked still has it: who starts now writes where people look.
            # Those who run go on with what they have until USR1, as after any rotation.
            _replace(fd, open_log(output))
        return fd

    def reopen(self) -> list[ConfigError]:
        """Open every file anew, under its old number. One that cannot be opened stays as it was."""
        errors = []
        for path, fd in self._open.items():
            try:
                fresh = open_log(path)
            except ConfigError as error:
                errors.append(error)
                continue
            _replace(fd, fresh)
        return errors

    def files_among(self, fds: Iterable[int | None]) -> list[int]:
        """Those of `fds` that are log files, not streams."""
        files = set(self._open.values())
        return sorted({fd for fd in fds if fd in files and fd is not None})

    def close_except(self, fds: Iterable[int | None]) -> None:
        """Close the files nobody writes to any more."""
        keep = set(fds)
        for path, fd in list(self._open.items()):
            if fd not in keep:
                os.close(self._open.pop(path))


def _replace(fd: int, fresh: int) -> None:
    """`fd` is what `fresh` was."""
    os.dup2(fresh, fd, inheritable=False)
    os.close(fresh)


def _leads_to(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(fd))  # noqa: PTH116
    except OSError:
        return False
