"""Stacks for those who ask: which requests surely belong to them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from prefork.ipc.control import Result, Stack
from prefork.ipc.scoreboard import Place, Row, Scoreboard, map_row
from prefork.ipc.seat import here
from prefork.master.stackdesk import StackDesk


class Scene:
    """A worker with two threads, and a client."""

    def __init__(self) -> None:
        self.board = Scoreboard()
        self.row: Row = map_row(Place(self.board.fd, self.board.assign(5, 1, 1, 2)), 2)
        self.worker: Any = SimpleNamespace(id=5, slot=1, pid=99, generation=1)
        self.asked: list[Any] = []
        self.told: list[Result] = []
        pool = SimpleNamespace(workers={5: self.worker})
        generations = SimpleNamespace(board=self.board, stacks_file=lambda _generation: self.stacks)
        self.stacks: object | None = object()
        taking = SimpleNamespace(ask=self._ask)
        self.desk = StackDesk(cast(Any, pool), cast(Any, generations), cast(Any, taking), lambda: 1e6)

    def _ask(self, pid: int, stacks: object, is_there: object, answer: Any, *, asking: Any) -> None:
        assert pid == 99
        self.asked.append((asking, answer))

    def ask(self, *workers: Any) -> None:
        self.desk.answer(cast(Any, SimpleNamespace(tell=self.told.append)), list(workers) or [self.worker])

    def answer(self, text: str = "Thread 0x1\n") -> None:
        self.asked.pop(0)[1](text)

    @property
    def stack(self) -> Stack:
        (result,) = self.told
        (stack,) = msgspec.json.decode(result.data, type=list[Stack])
        return stack


@pytest.fixture
def scene() -> Iterator[Scene]:
    seat = here.seat
    made = Scene()
    yield made
    made.board.close()
    here.seat = seat


def test_what_runs_before_and_after_is_certain(scene: Scene) -> None:
    scene.row.seats[1].sit(4711)
    scene.row.seats[1].begin("GET /long HTTP/1.1", "192.0.2.7")
    scene.ask()
    assert scene.told == []
    scene.asked[0][0]()
    scene.row.seats[0].begin("GET /later HTTP/1.1", "")
    scene.answer()
    (request,) = scene.stack.running
    assert (request.request, request.thread, request.ident) == ("GET /long HTTP/1.1", 2, 4711)
    assert scene.stack.text == "Thread 0x1\n"


def test_what_ended_meanwhile_is_certain_until_another_begins(scene: Scene) -> None:
    for another in (False, True):
        seat = scene.row.seats[0]
        seat.begin("GET /slept HTTP/1.1", "")
        scene.ask()
        scene.asked[0][0]()
        seat.finish(200, 0)
        if another:
            seat.begin("GET /short HTTP/1.1", "")
        scene.answer()
        assert [each.request for each in scene.stack.running] == ([] if another else ["GET /slept HTTP/1.1"])
        scene.told.clear()


def test_the_answer_comes_when_all_have_answered_and_is_bounded(scene: Scene) -> None:
    scene.ask(scene.worker, scene.worker, scene.worker)
    for _ in range(3):
        assert scene.told == []
        scene.answer("x" * (4 << 20))
    (result,) = scene.told
    stacks = msgspec.json.decode(result.data, type=list[Stack])
    assert [len(stack.text) for stack in stacks] == [1 << 20] * 3


def test_no_text_and_nowhere_to_write_it_is_said(scene: Scene) -> None:
    scene.ask()
    scene.answer("")
    assert "no answer" in scene.stack.error
    scene.told.clear()
    scene.stacks = None
    scene.ask()
    assert "no answer" in scene.stack.error
