"""How the lines of a screen are shared out.

Owns: heights. Pure. Runs in: cli. Must not know: what is on the lines.
"""

from __future__ import annotations

from dataclasses import dataclass

_TALL = 20
"""From here on there is room for charts."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Lines of each part, from top to bottom; the headings of workers and pane and the last line come on top of that."""

    summary: int
    workers: int
    pane: int
    """0: there is none."""


def layout(height: int, workers: int, *, pane: bool) -> Layout:
    """For a screen of `height`; a pane leaves the workers a third of the room, or three lines."""
    summary = 5 if height >= _TALL else 4
    room = max(2, height - summary - 2)
    if not pane:
        return Layout(summary, room, 0)
    upper = min(max(1, workers), max(3, room // 3), max(1, room - 2))
    return Layout(summary, upper, max(1, room - upper - 1))


def window(selected: int, count: int, height: int) -> range:
    """Which of `count` lines to show on `height`, such that the selected one is among them."""
    start = max(0, min(selected - height // 2, count - height))
    return range(start, min(count, start + height))
