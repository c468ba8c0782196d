"""What differs between two settings, and what of it a running server can take on.

Owns: that decision for each key. Pure. Runs in: master (at a reload). Must not know: how a reload is done.

Nearly everything takes effect with a new generation of workers. The rest stays as it is until the server is
started anew, and a reload that asks for it is refused as a whole rather than half done.
"""

from __future__ import annotations

import msgspec

from prefork.settings import tomltext
from prefork.settings.kinds.text import Environment
from prefork.settings.log import LoggingConfig
from prefork.settings.model import TABLES, Settings

FIXED = {
    "server.name": "this server's processes and log lines are found by its name; start another server, or restart",
    "server.pid_file": "the lock on the file says that this server lives, and others look for it there; restart",
    "server.control": "commands look for the server there; restart",
}
"""Keys that a running server cannot change, and why."""


class Change(msgspec.Struct, frozen=True):
    """One key with another value than before."""

    key: str
    """"table.key"."""
    old: str
    """As TOML, short; the values of environment variables are left out."""
    new: str
    refusal: str | None = None
    """Why a reload cannot apply it; None: it can."""

    def __str__(self) -> str:
        ending = f": cannot change while the server runs: {self.refusal}" if self.refusal else ""
        return f"{self.key} = {self.new} (was {self.old}){ending}"


def changes(old: Settings, new: Settings) -> tuple[Change, ...]:
    """The keys whose values differ, in the order of the reference."""
    found: list[Change] = []
    for table in TABLES.values():
        for key, option in table.options.items():
            before = getattr(getattr(old, table.name), key)
            after = getattr(getattr(new, table.name), key)
            if before == after:
                continue
            dotted = f"{table.name}.{key}"
            if isinstance(option.kind, Environment):
                texts = (
                    ", ".join(sorted(before)),
                    ", ".join(sorted(after)),
                )  # names only: values may be secrets
            elif isinstance(option.kind, LoggingConfig):
                texts = (_place(before), _place(after))  # a table may hold passwords of mail servers
            else:
                texts = (tomltext.shown(option.kind.plain(before)), tomltext.shown(option.kind.plain(after)))
            refusal = FIXED.get(dotted)
            found.append(Change(dotted, *texts, refusal=refusal))
    return tuple(found)


def _place(config: object) -> str:
    return tomltext.shown(config) if isinstance(config, str) else "a table"
