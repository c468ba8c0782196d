"""Paths of secrets: a file, or a credential that the service manager hands over.

Owns: `credential:NAME`, and where that is. Runs in: cli, master. Must not know: what is in the file.

systemd puts credentials (LoadCredential=, SetCredential=) into a directory that only this unit can read and names it in the
environment (systemd.exec(5)). Owner and mode of the files differ between its releases, so nothing is asked of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from prefork.settings.kinds.base import Kind
from prefork.settings.kinds.paths import absolute
from prefork.settings.kinds.text import checked_text

PREFIX = "credential:"

VARIABLE = "CREDENTIALS_DIRECTORY"


class SecretPath(Kind, frozen=True):
    """A path, `credential:NAME`, or nothing."""

    takes_text = True

    def convert(self, value: object, directory: str) -> str | None:
        text = checked_text(value)
        if text.startswith(PREFIX):
            # systemd.exec(5): a name that could be one of a file.
            if not re.fullmatch(r"[^/:\s]{1,255}", text[len(PREFIX) :]) or text[len(PREFIX) :] in (".", ".."):
                raise ValueError(f'must be a path, or "{PREFIX}NAME" with the name of a credential')
            return text
        return absolute(text, directory) if text else None

    def plain(self, value: Any) -> Any:
        return "" if value is None else value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    @property
    def unit(self) -> str:
        return f'a path, or "{PREFIX}NAME" for a credential of the unit (systemd: LoadCredential=)'


def locate(path: str, environ: Mapping[str, str] = os.environ) -> str:
    """The file that `path` means. Raises FileNotFoundError, whose text is the reason, for a credential without a directory."""
    if not path.startswith(PREFIX):
        return path
    name, directory = path[len(PREFIX) :], environ.get(VARIABLE, "")
    if not directory:
        raise FileNotFoundError(
            2, f"${VARIABLE} is not set; systemd sets it for a unit with LoadCredential={name}"
        )
    return f"{directory}/{name}"
