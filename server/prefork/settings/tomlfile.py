"""Reading TOML.

Owns: every reason why a file gives no tables, one line each. Runs in: cli, master. Must not know: settings.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

from prefork.errors import ConfigError

# tomli is tomllib as it was before PEP 680. By name, because a type checker knows only one of the two.
_toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

_POSITION = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def read_tables(path: str) -> dict[str, Any]:
    """The content of the TOML file at `path`. Raises `ConfigError` with one line."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {os.strerror(error.errno or 0)}") from error
    except ValueError as error:  # a NUL in the name
        raise ConfigError(f"{path!r}: cannot be read: {error}") from error
    try:
        # utf-8-sig: editors on Windows begin a file with a byte order mark, which nobody sees.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = _position(content[: error.start].decode("utf-8", "replace"))
        raise ConfigError(f"{path}: line {line}, column {column}: is not UTF-8, as TOML must be") from error
    try:
        tables: dict[str, Any] = _toml.loads(text)
    except _toml.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {_syntax_error(str(error), text)}") from error
    except (RecursionError, ValueError) as error:  # lists in lists in lists; numbers of thousands of digits
        raise ConfigError(f"{path}: is not usable TOML: {type(error).__name__}") from error
    return tables


def parse_value(text: str) -> Any:
    """The TOML value written as `text`; None if it is not one."""
    try:
        parsed: dict[str, Any] = _toml.loads(f"value = {text}")
    except (ValueError, RecursionError):  # TOMLDecodeError is a ValueError
        return None
    # More keys than one: the text had line ends, and meant something else.
    return parsed["value"] if len(parsed) == 1 else None


def _syntax_error(message: str, text: str) -> str:
    found = _POSITION.fullmatch(message)
    if found is None:
        return f"is not TOML: {message}"
    reason, line, column = found.groups()
    if line is None:
        line, column = _position(text)
    return f"line {line}, column {column}: is not TOML: {reason}"


def _position(text: str) -> tuple[int, int]:
    """Line and column right behind `text`, both from 1."""
    return text.count("\n") + 1, len(text) - text.rfind("\n")
