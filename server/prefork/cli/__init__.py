"""The command line. `main` is what `prefork` runs, and the only place that ends the process."""

from __future__ import annotations

import os
import sys

from prefork.variables import HANDOVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


_STDOUT, _STDERR = 1, 2


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command in `argv` (default: that of the process) and end the process with its exit code."""
    _have_all_streams()
    if os.getpid() == 1:
        from prefork.cli.first import hold_signals

        # Before everything else is imported.
        hold_signals()
    given = sys.argv[1:] if argv is None else argv
    if not _may_serve(given):
        _run_command(given, alone=argv is None)
    from prefork.master.newborn import bear_ahead, forget_ahead

    if argv is None and HANDOVER in os.environ:
        _import_beside_the_workers()

    # Before everything else is imported too: the zygote imports as much, and both do it at the same time.
    bear_ahead()
    try:
        _import_and_run(given)
    except KeyboardInterrupt:
        # In the middle of that import; `run` answers the others.
        sys.exit(130)
    finally:
        forget_ahead()


def _have_all_streams() -> None:
    """The standard streams that whoever started this process has closed lead nowhere.

    A socket or a log would come to be where "standard output" is written otherwise: open(2) takes the lowest number that is free.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(fd, True)
    os.close(fd)
    if sys.stdout is None:
        sys.stdout = open(_STDOUT, "w")  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(_STDERR, "w")  # noqa: SIM115


def _run_command(argv: Sequence[str], *, alone: bool) -> NoReturn:
    """`alone`: in a process that is there for nothing else."""
    from prefork.cli.considerate import PLANNED, leave, step_back

    if alone and argv and argv[0] in PLANNED:
        come_back = step_back()
        try:
            _import_msgspec()
            from prefork.cli.entry import run

            code = run(argv)
        finally:
            come_back()
        leave(code)
    _import_and_run(argv)


def _import_beside_the_workers() -> None:
    """The pool serves, and waits for nothing: another program was this process until a moment ago."""
    from prefork.cli.considerate import step_back

    come_back = step_back()
    try:
        _import_msgspec()
        import prefork.cli.entry
        import prefork.cli.run
        import prefork.master.resuming
        import prefork.master.startup
        import prefork.master.supervising  # noqa: F401
    finally:
        come_back()


def _import_and_run(argv: Sequence[str]) -> NoReturn:
    _import_msgspec()
    from prefork.cli.entry import main as run

    run(argv)


def _import_msgspec() -> None:
    """Without typing_extensions, if it is installed: msgspec asks there first for what `typing` has as well since Python 3.11,
    and to import it costs a command as much processor time as everything of ours. Zygotes, which serve applications that may
    use msgspec in any way, have it as it is.
    """
    if sys.version_info < (3, 11) or "typing_extensions" in sys.modules:
        return
    # "import" finds nothing then (the import system, in the language reference).
    sys.modules["typing_extensions"] = None
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules["typing_extensions"]


def _may_serve(argv: Sequence[str]) -> bool:
    """Whether these arguments are for `prefork run`, as far as they can be told before anything is imported."""
    if not argv or {"-h", "--help", "-V", "--version"} & set(argv):
        return False
    return argv[0] == "run" or argv[0].startswith("-") or ":" in argv[0]


__all__ = ["main"]
