"""Other Python processes for unit tests: a script, its arguments, the descriptors it inherits.

Not os.fork: test runners have threads, and Python 3.12 warns about forking those.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import prefork
from support.deadline import DEADLINE_S, SLOWNESS

_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(prefork.__file__).parent.parent)}


@contextmanager
def child(script: str, *args: object, pass_fds: Sequence[int] = ()) -> Iterator[subprocess.Popen[str]]:
    """A running script with its three standard streams as pipes (stderr goes where stdout goes); killed at the end."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, args)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=pass_fds,
        env=_ENVIRONMENT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(script: str, *args: object, pass_fds: Sequence[int] = ()) -> str:
    """What the script printed; it must end with status 0."""
    with child(script, *args, pass_fds=pass_fds) as process:
        output, _ = process.communicate(timeout=DEADLINE_S * SLOWNESS)
    assert process.returncode == 0, output
    return output
