"""Opening log files.

Owns: how they are opened, and why one cannot be. Runs in: master. Must not know: what is written to them.
"""

from __future__ import annotations

import os

from prefork.errors import ConfigError


def open_log(path: str) -> int:
    """Open the log file `path` for appending, mode 0640 if it is new; the descriptor is close-on-exec.

    Called by the master before it drops privileges, so the file may belong to root. Raises ConfigError.
    """
    # O_NONBLOCK: means nothing to a file, and keeps the open of a FIFO without a reader from hanging
    # (fifo(7)).
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o640)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot open the log file {path!r}: {_reason(path, error)}") from error


def _reason(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "its directory does not exist"
    if isinstance(error, PermissionError):
        return f"permission denied for user id {os.geteuid()}"
    if isinstance(error, IsADirectoryError):
        return "it is a directory"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error)
