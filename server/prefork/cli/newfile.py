"""A settings file that a command makes.

Owns: that it can be read before it is written, and that nothing is written over unawares. Runs in: cli. Must not
know: what is in it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from prefork.errors import ConfigError
from prefork.settings.load import load


def verify(text: str, directory: Path) -> None:
    """A file that is written can be read: by the very function that a start calls. Raises ConfigError."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml", dir=_writable(directory)) as file:
        file.write(text)
        file.flush()
        load(file.name)


def _writable(directory: Path) -> str:
    """Beside the file to come: relative paths start there. Raises ConfigError."""
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(f"{directory}: no file can be made there")
    return str(directory)


def write(path: Path, text: str, *, force: bool) -> None:
    """All of it or nothing; never over a file that came in between. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".prefork-", suffix=".toml")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        if force:
            Path(temporary).replace(path)
        else:
            # link(2) refuses a name that is taken.
            path.hardlink_to(temporary)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
