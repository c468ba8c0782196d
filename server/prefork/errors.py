"""Errors that a person is meant to read, and the exit codes they lead to.

Owns: the exception types that cross module borders. Runs in every process. Knows nothing of the rest of prefork
(every layer may import it). Only `prefork.cli` turns an error into an exit.

Exit codes follow sysexits.h where it has one, so that systemd's `RestartPreventExitStatus=78` works as one expects.
"""

from __future__ import annotations

from collections.abc import Iterable

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_BOOT_FAILED = 3
"""The first generation never could serve (application does not import, workers do not boot)."""
EXIT_OS_ERROR = 71
"""An address could not be bound, or another server holds the pid file (EX_OSERR)."""
EXIT_CONFIG = 78
"""The settings are wrong (EX_CONFIG)."""


class PreforkError(Exception):
    """An error with one line for the person who runs the server: what, where, which value, what to do."""

    exit_code = EXIT_FAILURE


class ConfigError(PreforkError):
    """The settings cannot be used. `problems` holds one line for each mistake found."""

    exit_code = EXIT_CONFIG

    def __init__(self, problems: Iterable[str] | str) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class ListenError(PreforkError):
    """An address cannot be listened on."""

    exit_code = EXIT_OS_ERROR


class AlreadyRunningError(PreforkError):
    """A living server holds the pid file."""

    exit_code = EXIT_OS_ERROR


class BootError(PreforkError):
    """The application, or a process of the pool, did not come up.

    `stage` is one word for where ("import", "privileges", "preload", ...), `traceback` the application's own text.
    """

    exit_code = EXIT_BOOT_FAILED

    def __init__(self, stage: str, error: str, traceback: str = "") -> None:
        super().__init__(error)
        self.stage = stage
        self.error = error
        self.traceback = traceback


class RequestTimeout(BaseException):
    """Raised inside the application when its request has taken longer than `[requests] timeout`.

    Not an Exception, so that code which carries on after any error of its own does not carry on after this one.
    """

    def __init__(self, message: str = "it ran longer than [requests] timeout without giving output") -> None:
        super().__init__(message)
