"""A status in colour, on a terminal.

Owns: which colour says what. Runs in: cli. Needs rich. Must not know: what is said (`prefork.cli.statustext`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefork.cli import statustext
from prefork.ipc.status import Status
from prefork.observe.memory import Memory

STATES = {
    "serving": "bold green",
    "accepting": "green",
    "active": "green",
    "starting": "bold cyan",
    "booting": "cyan",
    "ready": "cyan",
    "reloading": "bold yellow",
    "rolling back": "bold yellow",
    "paused": "bold magenta",
    "parked": "blue",
    "draining": "yellow",
    "stopping": "bold red",
    "failed": "bold red",
}
"""By the word that the status has for it."""

_NAME = re.compile(r"^listening on|^.*?(?=: )")
_FAILED = re.compile(r"\bfailed \(.*")
_ERRORS = re.compile(r"\b5xx \d+|\b\d+ exceptions|\b\d+ turned away")
_AGE = re.compile(r"^  (\S+)")


def show(status: Status, memory: Mapping[int, Memory | None], console: Console | None = None) -> None:
    """Print it: in the colours that the terminal has, no wider than it is."""
    console = console or Console(highlight=False, markup=False, emoji=False)
    for number, line in enumerate(statustext.above(status)):
        console.print(_line(line, status.state, first=number == 0), soft_wrap=True)
    if status.workers:
        console.print()
        console.print(_table(status, memory, console.width))
    for number, line in enumerate(statustext.below(status)):
        if number == 0:
            console.print()
        text = Text(line, "bold" if number == 0 else "")
        text.highlight_regex(_AGE, "bold yellow")
        console.print(text, soft_wrap=True)


def _line(line: str, state: str, *, first: bool) -> Text:
    text = Text(line)
    text.highlight_regex(_NAME, "bold" if first else "dim")
    if first:
        text.highlight_regex(rf"(?<=: ){re.escape(state)}", STATES.get(state, "bold"))
    else:
        for word in ("active", "parked", "failed", "ready"):
            text.highlight_regex(rf"(?<=: ){word}\b", STATES[word])
        text.highlight_regex(_ERRORS, "bold red")
    text.highlight_regex(_FAILED, "bold red")
    return text


def _table(status: Status, memory: Mapping[int, Memory | None], width: int) -> Table:
    rows = statustext.rows(status, memory)
    shown = statustext.columns([statustext.TITLES, *rows], width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="reverse")
    for index in shown:
        left = index == statustext.STATE
        title = statustext.TITLES[index]
        table.add_column(title, justify="left" if left else "right", no_wrap=True, overflow="crop")
    for worker, cells in zip(status.workers, rows, strict=True):
        texts = [Text(cell) for cell in cells]
        texts[statustext.STATE].stylize(STATES.get(worker.state, "yellow"))
        texts[statustext.TITLES.index("BUSY")].stylize("bold" if worker.busy else "dim")
        for index, cell in enumerate(cells):
            if cell in ("-", "0"):
                texts[index].stylize("dim")
        table.add_row(*(texts[index] for index in shown))
    return table
