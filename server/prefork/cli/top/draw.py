"""The screen of `prefork top`, as lines in colour.

Owns: what goes where, and which colour says what. Pure: values in, lines out. Runs in: cli. Needs rich. Must not know: terminals,
keys, servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from prefork.cli import text
from prefork.cli.top import summary
from prefork.cli.top.helptext import HELP
from prefork.cli.top.layout import Layout, layout, window
from prefork.cli.top.rates import Rates, Sample
from prefork.cli.top.table import Column, Row, cells, columns, headings
from prefork.cli.top.ui import Pane, Ui, index_of

_STATES = {
    "serving": "bold green",
    "accepting": "green",
    "starting": "bold cyan",
    "booting": "cyan",
    "reloading": "bold yellow",
    "rolling back": "bold yellow",
    "paused": "bold magenta",
    "draining": "yellow",
    "stopping": "bold red",
}

_SLOW_S, _VERY_SLOW_S = 1.0, 10.0
"""Requests that run for longer are coloured."""

_GOES_ON = "        "

_BARS = ("▁▂▃▄▅▆▇", ".:-=+*#")
"""Not the full block: it would touch the line above."""


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is on the screen."""

    sample: Sample
    rates: Rates | None
    rows: Sequence[Row]
    ui: Ui
    problem: str = ""
    """Why there is nothing newer."""
    message: str = ""
    """What came of the last key."""
    pane_title: str = ""
    pane_lines: Sequence[str] = ()
    requests_trail: Sequence[float] = ()
    p99_trail: Sequence[float] = ()
    unicode: bool = True
    interval_s: float = 1.0


def draw(picture: Picture, width: int, height: int) -> list[Text]:
    """Exactly `height` lines, none wider than `width`."""
    pane = picture.ui.pane is not Pane.NONE
    shared = layout(height, len(picture.rows), pane=pane)
    lines = [*_summary(picture, width, shared), Text(headings(width), "reverse")]
    lines += _workers(picture, width, shared.workers)
    if pane:
        lines += _pane(picture, width, shared.pane)
    lines = lines[: height - 1]
    lines += [Text()] * (height - 1 - len(lines))
    lines.append(_last_line(picture, width))
    for line in lines:
        line.truncate(width)
    return lines


def pane_content(picture: Picture, width: int) -> Sequence[str]:
    """All lines of the pane that is open; long ones go on below, for the end of a frame is what matters of it."""
    if picture.ui.pane is Pane.HELP:
        return HELP
    return [part for line in picture.pane_lines for part in _wrapped(line, width)]


def _wrapped(line: str, width: int) -> Iterator[str]:
    yield line[:width]
    room = max(1, width - len(_GOES_ON))
    for start in range(width, len(line), room):
        yield _GOES_ON + line[start : start + room]


# above the workers --------------------------------------------------------------------------------------------------


def _summary(picture: Picture, width: int, shared: Layout) -> list[Text]:
    status = picture.sample.status
    state = _STATES.get(status.state, "bold")
    first = Text.assemble((text.one_line(status.name), "bold"), "  ", (status.state, state))
    for word in summary.identity(status):
        first.append(f"  {word}", "" if word.startswith("generation") else "dim")
    lines = [first, _second(picture, width), _items(summary.answers(picture.rates), width)]
    lines.append(_items(summary.load(status, picture.rates), width))
    if shared.summary > len(lines):
        lines.append(_charts(picture, width))
    return lines


def _second(picture: Picture, width: int) -> Text:
    """The most important of: no answers, the last reload, where it listens."""
    if picture.problem:
        return Text(text.one_line(picture.problem)[:width].ljust(width), "bold white on red")
    reload = summary.last_reload(picture.sample.status.last_reload)
    if reload is not None:
        return Text.assemble((reload.name, "dim"), " ", (reload.value, "bold red" if reload.bad else ""))
    addresses = text.one_line(", ".join(picture.sample.status.listeners))
    return Text.assemble(("listening on ", "dim"), addresses or "nothing")


def _items(items: Sequence[summary.Item], width: int) -> Text:
    line = Text()
    for item in summary.fitting(items, width):
        if line:
            line.append("  ")
        line.append(f"{item.name} ", "dim")
        line.append(item.value, "bold red" if item.bad else "bold")
    return line


def _charts(picture: Picture, width: int) -> Text:
    room = max(8, (width - 24) // 2)
    line = Text()
    for name, values, style in (
        ("req/s ", picture.requests_trail, "green"),
        ("  p99 ", picture.p99_trail, "cyan"),
    ):
        line.append(name, "dim")
        line.append(bars(values[-room:], unicode=picture.unicode).rjust(room), style)
    seconds = room * picture.interval_s
    return line.append(f"  last {text.age(seconds)}", "dim")


def bars(values: Sequence[float], *, unicode: bool = True) -> str:
    """A chart of one line: the highest is the largest of them, nothing is a blank."""
    heights = _BARS[0] if unicode else _BARS[1]
    highest = max(values, default=0.0)
    if highest <= 0:
        return " " * len(values)
    steps = len(heights)
    return "".join(
        heights[min(steps - 1, int(value / highest * steps))] if value > 0 else " " for value in values
    )


# workers ------------------------------------------------------------------------------------------------------------


def _workers(picture: Picture, width: int, height: int) -> list[Text]:
    rows = picture.rows
    if not rows:
        wanted = picture.sample.status.workers_wanted
        return [Text(f"no workers ({wanted} wanted)", "bold yellow"), *[Text()] * (height - 1)]
    selected = index_of(picture.ui.selected, rows)
    shown = columns(width)
    lines = []
    for index in window(selected, len(rows), height):
        line = _row(rows[index], shown)
        if index == selected:
            line = Text(line.plain[:width].ljust(width), "reverse")  # colours would fight with it
        lines.append(line)
    return [*lines, *[Text()] * (height - len(lines))]


def _row(row: Row, shown: Sequence[Column]) -> Text:
    line = Text()
    for column, cell in cells(row, shown):
        if line:
            line.append(" ")
        line.append(cell, _style(column.title, row))
    return line


def _style(title: str, row: Row) -> str:
    if title == "STATE":
        return _STATES.get(row.worker.state, "yellow")
    if title in ("AGE", "REQUEST"):
        return _urgency(row.age_s)
    if title == "CPU%":
        return "bold yellow" if (row.rates.cpu or 0.0) > 0.9 else ""
    if title == "BUSY":
        return "bold" if row.worker.busy else "dim"
    if title == "RST":
        return "" if row.worker.restarts else "dim"
    return ""


def _urgency(age_s: float | None) -> str:
    if age_s is None or age_s < _SLOW_S:
        return ""
    return "bold red" if age_s >= _VERY_SLOW_S else "bold yellow"


# below them ---------------------------------------------------------------------------------------------------------


def _pane(picture: Picture, width: int, height: int) -> list[Text]:
    content = pane_content(picture, width)
    is_help = picture.ui.pane is Pane.HELP
    first = min(picture.ui.scroll, max(0, len(content) - height))
    title = "help" if is_help else picture.pane_title
    where = (
        f"{first + 1}-{min(first + height, len(content))} of {len(content)}" if len(content) > height else ""
    )
    close = "Esc closes" if is_help else "t again, Esc closes"
    right = f"  {where}  {close} " if where else f"  {close} "
    line = Text(
        f" {title}"[: max(0, width - len(right))].ljust(max(0, width - len(right))) + right, "reverse"
    )
    return [line, *(_pane_line(each, is_help) for each in content[first : first + height])]


def _pane_line(line: str, is_help: bool) -> Text:
    if is_help:
        return Text(line)
    if line.startswith("thread "):
        return Text(line, "bold yellow")
    if line.startswith("    ..."):
        return Text(line, "dim")
    if line.startswith("    File"):
        return Text(line)
    return Text(line, "cyan")


def _last_line(picture: Picture, width: int) -> Text:
    question = picture.ui.question
    if question is not None:
        return Text(f" {question.text}? y/n"[:width].ljust(width), "bold black on yellow")
    if picture.message:
        return Text(f" {text.one_line(picture.message)}", "bold")
    keys = [("q", "quit"), ("h", "help"), ("s", f"sort: {picture.ui.sort.value}"), ("t", "stacks")]
    keys += [("R", "recycle"), ("p", "resume" if picture.sample.status.state == "paused" else "pause")]
    keys.append(("j/k", "select"))
    line = Text()
    for key, meaning in keys:
        line.append(f" {key} ", "reverse")
        line.append(f" {meaning} ")
    return line
