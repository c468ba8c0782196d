"""Settings as TOML text: the reference of all keys, and the settings in effect.

Owns: config/reference.toml and what `prefork config` prints. Pure. Runs in: cli. Must not know: how settings are
loaded.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from prefork.settings import tomltext
from prefork.settings.model import TABLES, Settings
from prefork.settings.options import Option

_WIDTH = 100

_HEAD = """\
#:schema ./schema.json
#
# Every setting of prefork: its default, its meaning, its bounds. Lines that begin with "#" and a key show the
# default; remove the "#" to change it.
#
# Durations are numbers of seconds or texts: "250ms", "30s", "5m", "12h", "1d".
# Sizes are numbers of bytes or texts: "64KiB", "1GiB" (powers of 1024), "10MB" (powers of 1000).
# Relative paths start in the directory of this file.
#
# Made by `prefork config --reference`.
"""


def reference_text() -> str:
    """The content of config/reference.toml."""
    blocks = [_HEAD]
    for table in TABLES.values():
        blocks.append(f"\n# {table.description}\n[{table.name}]\n")
        if table.whole:
            blocks.append("\n".join(["", *_whole_lines(table.options[table.whole])]) + "\n")
            continue
        blocks += ["\n".join(["", *_option_lines(option)]) + "\n" for option in table.options.values()]
    return "".join(blocks)


def effective_text(
    settings: Settings, origins: Mapping[str, str], meanings: Mapping[str, str] = MappingProxyType({})
) -> str:
    """All settings as a TOML file, behind each its origin and what it means on this machine, if `meanings` has that."""
    blocks = []
    for table in TABLES.values():
        lines = [f"[{table.name}]"]
        for key, option in table.options.items():
            plain = option.kind.plain(getattr(getattr(settings, table.name), key))
            written = plain if table.whole else {key: plain}
            dotted = f"{table.name}.{key}"
            origin = "; ".join(filter(None, (origins[dotted], meanings.get(dotted))))
            lines += [f"{tomltext.key(k)} = {tomltext.value(v)}  # {origin}" for k, v in written.items()]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _whole_lines(option: Option) -> Iterator[str]:
    """A table whose keys are the user's: an example."""
    yield from textwrap.wrap(option.description, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    yield f"#{option.example}"


def _option_lines(option: Option) -> Iterator[str]:
    for text in (option.description, f"Value: {option.kind.unit}." if option.kind.unit else ""):
        yield from textwrap.wrap(
            text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
    if option.required:
        yield f"{option.key} = {tomltext.value(option.example)}"
    else:
        yield f"#{option.key} = {tomltext.value(option.kind.plain(option.default))}"
