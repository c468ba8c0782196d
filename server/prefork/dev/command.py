"""The command line that starts this program once more.

Owns: finding it out. Runs in: the parent of a reloader, `prefork.serve`. Must not know: why it is wanted.

`sys.orig_argv` is what the kernel was given (Python 3.10): it has the options of the interpreter, and `-m`. Only the name of
the interpreter may be relative to PATH or to a directory that is not the current one any more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def command_line(original: Sequence[str] | None = None, executable: str | None = None) -> list[str]:
    """Program and arguments, to be executed in the same directory. A script whose first line names the interpreter is one
    argument of that interpreter here."""
    given = list(sys.orig_argv if original is None else original)
    python = executable or sys.executable
    return [python, *given[1:]] if python and os.path.isfile(python) else given  # noqa: PTH113
