"""Files and directories that settings name and that must be there.

Owns: those checks; they look, and change nothing. Runs in: cli, master. Must not know: where values come
from.

Places the server writes to (logs, pid file, sockets) are not looked at: opening them is the only true check,
and the master does that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from prefork.settings.kinds.base import Mistake


def missing_files(values: Mapping[str, Any]) -> list[tuple[str, Mistake]]:
    """What is wrong with each file that `values` ("table.key") name and that cannot be used."""
    found: list[tuple[str, str, str, str | None]] = []
    chdir, python = values.get("app.chdir"), values.get("app.python")
    if chdir is not None:
        found.append(("app.chdir", chdir, "", _not_a_directory(chdir)))
    if python is not None:
        found.append(("app.python", python, "", _not_executable(python)))
    for index, path in enumerate(values.get("app.path", ())):
        found.append(("app.path", path, f"[{index}]", _not_importable(path)))
    for prefix, place in values.get("static.places", {}).items():
        found.append(
            ("static.places", place.directory, f'."{prefix}".directory', _not_a_directory(place.directory))
        )
    for name, path in values.get("server.sendfile_paths", {}).items():
        found.append(("server.sendfile_paths", path, f'."{name}"', _not_a_directory(path)))
    return [(key, Mistake(value, rule, where)) for key, value, where, rule in found if rule is not None]


def _not_a_directory(path: str) -> str | None:
    mode = _mode(path)
    if isinstance(mode, str):
        return f"must be a directory: {mode}"
    if not stat.S_ISDIR(mode):
        return "must be a directory; this is a file"
    return None


def _not_executable(path: str) -> str | None:
    mode = _mode(path)
    if isinstance(mode, str):
        return f"must be a Python interpreter: {mode}"
    if not stat.S_ISREG(mode) or not mode & 0o111:
        return "must be a Python interpreter; this is not an executable file"
    return None


def _not_importable(path: str) -> str | None:
    mode = _mode(path)
    return f"must be a directory: {mode}" if isinstance(mode, str) else None


def _mode(path: str) -> int | str:
    """The file's mode, or why it has none."""
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - a plain text path, no object needed
    except OSError as error:
        return os.strerror(error.errno or 0)
