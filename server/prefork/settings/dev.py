"""Table `[dev]`: development with `prefork --dev`, and what else is different then.

Owns: its keys, and the values that `--dev` lays over the file. Runs in: every process (as values). Must not know: how anything
of it is done (see `prefork.dev`).
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from prefork.settings.kinds.flag import Flag
from prefork.settings.kinds.lists import TextList
from prefork.settings.kinds.paths import PathList
from prefork.settings.kinds.text import OneOf


def some_text(text: str) -> str:
    """An entry of a list of names or patterns. Raises ValueError with the rule."""
    if not text.strip() or not text.isprintable():
        raise ValueError("must be printable characters")
    return text


class DevSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[dev]`."""

    enabled: Annotated[
        bool,
        Flag(),
        Meta(
            description="Development: reload on change, errors on the page, debugger. `prefork --dev` sets it, and with it "
            "what else is different then; never on a server that others can reach."
        ),
    ] = False
    reload: Annotated[
        Literal["auto", "watchfiles", "stat", "off"],
        OneOf(("auto", "watchfiles", "stat", "off")),
        Meta(
            description='How changed files are noticed: "watchfiles" (told by the kernel, needs that library), "stat" (looked at '
            'ten times a second), "auto": the first of them that works; "off": not at all.'
        ),
    ] = "auto"
    debugger: Annotated[
        bool,
        Flag(),
        Meta(
            description="Werkzeug's interactive debugger, if it is installed and there is one worker. It runs whatever is "
            "typed into it by who knows the pin."
        ),
    ] = True
    watch: Annotated[
        tuple[str, ...],
        PathList(),
        Meta(description="Further files and directories whose change reloads, such as translations."),
    ] = ()
    restart: Annotated[
        tuple[str, ...],
        PathList(),
        Meta(
            description="Files whose change reads everything anew, as `prefork reload` does. `--dev` puts the settings file here."
        ),
    ] = ()
    ignore: Annotated[
        tuple[str, ...],
        TextList(some_text, '["*/migrations/*"]'),
        Meta(description="Files whose change does not, as patterns of their whole path (*, ?, [abc])."),
    ] = ()
    env_files: Annotated[
        tuple[str, ...],
        TextList(some_text, '[".env"]'),
        Meta(
            description="Files with NAME=VALUE lines for the environment, in the application's directory; the first that has a "
            "name wins, what is set already stays."
        ),
    ] = (".env", ".flaskenv")


OVER_THE_FILE: tuple[tuple[str, Any], ...] = (
    ("dev.enabled", True),
    # One process: the debugger keeps the frames of an error in it.
    ("workers.count", 1),
    ("workers.threads", 8),
    # A worker imports the application anew for each change, so nobody else needs it.
    ("app.preload", "never"),
    ("workers.rollback_window", 0),
    ("workers.drain_timeout", 2),
    ("workers.max_requests", 0),
    ("workers.max_lifetime", 0),
    # Somebody may sit at a breakpoint, also of an import.
    ("workers.boot_timeout", 3600),
    ("requests.timeout", 0),
    # No connection outlives the code that it spoke to.
    ("requests.keepalive_timeout", 0),
    ("requests.slow", 0),
    ("log.level", "warning"),
    ("log.output", "stderr"),
    ("log.access", "stderr"),
    ("log.access_format", "dev"),
)
"""What `--dev` sets, stronger than the file (which may be the one for production) and weaker than the rest of the command
line."""
