"""`python -m prefork`. Runs in: the process that becomes the master. Must not know: anything else."""

from __future__ import annotations

import os
import sys


def _forget_current_directory() -> None:
    """`-m` searches the current directory first: an application's own signal.py or logging.py there would take the
    place of the standard library's in the master. The zygote puts the directory back for the application.
    """
    try:
        here = os.getcwd()  # noqa: PTH109 - sys.path holds texts
    except OSError:  # removed; then Python did not put it there either
        return
    if sys.path[:1] == [here]:
        del sys.path[0]


if __name__ == "__main__":
    _forget_current_directory()

    from prefork.cli import main

    main()
