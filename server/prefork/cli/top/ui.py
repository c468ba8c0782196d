"""What keys do.

Owns: what is selected, sorted, open and asked; the state after each key, and what is to be done for it. Pure. Runs in: cli. Must
not know: terminals, drawing, how things are done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from prefork.cli.top.table import Row, Sort


class Pane(Enum):
    """What is shown below the workers."""

    NONE = "none"
    STACKS = "stacks"
    HELP = "help"


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave."""


@dataclass(frozen=True, slots=True)
class TakeStacks:
    """Of the worker with this number."""

    worker: int


@dataclass(frozen=True, slots=True)
class Recycle:
    """Replace the worker with this number."""

    worker: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause the server, or end the pause."""

    on: bool


@dataclass(frozen=True, slots=True)
class Redraw:
    """Somebody else wrote on the screen."""


Effect = Quit | TakeStacks | Recycle | Pause | Redraw


@dataclass(frozen=True, slots=True)
class Question:
    """To be answered with y or n."""

    text: str
    effect: Recycle | Pause


@dataclass(frozen=True, slots=True)
class Selected:
    """A worker: by its number, and among several of that number by its id."""

    worker: int
    id: int


@dataclass(frozen=True, slots=True)
class Ui:
    """What a person has done so far."""

    sort: Sort = Sort.WORKER
    selected: Selected | None = None
    pane: Pane = Pane.NONE
    scroll: int = 0
    """The first line of the pane that is shown."""
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What is on the screen when a key comes."""

    rows: Sequence[Row]
    paused: bool = False
    pane_height: int = 10
    pane_length: int = 0
    """Lines that the pane has to show in all."""


_SORT_KEYS = {"r": Sort.REQUESTS, "c": Sort.CPU, "m": Sort.MEMORY, "a": Sort.AGE, "w": Sort.WORKER}

_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1}


def index_of(selected: Selected | None, rows: Sequence[Row]) -> int:
    """Which row is selected: the same process, else whoever took its place; 0 if there is none."""
    if selected is None:
        return 0
    fitting = [index for index, row in enumerate(rows) if row.worker.worker == selected.worker]
    for index in fitting:
        if rows[index].worker.id == selected.id:
            return index
    if fitting:
        return fitting[
            -1
        ]  # of two with one number the newer one comes last, unless they are sorted otherwise
    return min((index for index, row in enumerate(rows) if row.worker.worker > selected.worker), default=0)


def press(ui: Ui, key: str, scene: Scene) -> tuple[Ui, Effect | None]:
    """The state after a key, and what it asks for."""
    if key == "ctrl-l":
        return ui, Redraw()
    if ui.question is not None:
        return _answer(ui, ui.question, key)
    if ui.pane is not Pane.NONE:
        return _in_pane(ui, key, scene)
    if key == "q":
        return ui, Quit()
    if key in ("h", "?"):
        return replace(ui, pane=Pane.HELP, scroll=0), None
    if key == "s":
        orders = list(Sort)
        return replace(ui, sort=orders[(orders.index(ui.sort) + 1) % len(orders)]), None
    if key in _SORT_KEYS:
        return replace(ui, sort=_SORT_KEYS[key]), None
    return _common(ui, key, scene)


def _common(ui: Ui, key: str, scene: Scene) -> tuple[Ui, Effect | None]:
    """What works with a pane and without."""
    if key == "p":
        words = "resume: start the workers again" if scene.paused else "pause: workers finish, clients wait"
        return replace(ui, question=Question(words, Pause(not scene.paused))), None
    if not scene.rows:
        return ui, None
    at = index_of(ui.selected, scene.rows)
    if key in _STEPS:
        return _select(ui, scene, at + _STEPS[key]), None
    if key in ("page-up", "page-down"):
        return _select(ui, scene, at + (10 if key == "page-down" else -10)), None
    if key in ("home", "end"):
        return _select(ui, scene, 0 if key == "home" else len(scene.rows) - 1), None
    worker = scene.rows[at].worker
    here = Selected(worker.worker, worker.id)
    if key in ("enter", "t"):
        return replace(ui, selected=here, pane=Pane.STACKS, scroll=0), TakeStacks(worker.worker)
    if key == "R":
        question = Question(
            f"recycle worker {worker.worker} (pid {worker.pid or '-'})", Recycle(worker.worker)
        )
        return replace(ui, selected=here, question=question), None
    return ui, None


def _answer(ui: Ui, question: Question, key: str) -> tuple[Ui, Effect | None]:
    if key in ("y", "Y"):
        return replace(ui, question=None), question.effect
    if key in ("n", "N", "q", "escape", "enter"):
        return replace(ui, question=None), None
    return ui, None


def _in_pane(ui: Ui, key: str, scene: Scene) -> tuple[Ui, Effect | None]:
    if key in ("q", "escape") or (ui.pane is Pane.HELP and key in ("h", "?", "enter")):
        return replace(ui, pane=Pane.NONE, scroll=0), None
    if key in ("h", "?"):
        return replace(ui, pane=Pane.HELP, scroll=0), None
    page = max(1, scene.pane_height - 1)
    last = max(0, scene.pane_length - scene.pane_height)
    steps = {**_STEPS, "page-up": -page, "page-down": page, " ": page, "b": -page, "home": -last, "end": last}
    if key in steps:
        scroll = min(max(0, min(ui.scroll, last) + steps[key]), last)
        return replace(ui, scroll=scroll), None
    if ui.pane is Pane.HELP:
        return ui, None
    if key in ("left", "right") and scene.rows:
        moved = _select(ui, scene, index_of(ui.selected, scene.rows) + (1 if key == "right" else -1))
        assert moved.selected is not None
        return replace(moved, scroll=0), TakeStacks(moved.selected.worker)
    return _common(ui, key, scene)


def _select(ui: Ui, scene: Scene, index: int) -> Ui:
    worker = scene.rows[min(max(0, index), len(scene.rows) - 1)].worker
    return replace(ui, selected=Selected(worker.worker, worker.id))
