"""What `prefork top` shows: the screen, the plain lines, and what comes of news."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from prefork.cli.top import lines as plain
from prefork.cli.top.asking import Done, Lost, MemoryWatch
from prefork.cli.top.asking import sample as ask_for_sample
from prefork.cli.top.draw import Picture, bars, draw
from prefork.cli.top.helptext import HELP
from prefork.cli.top.live import _Painter
from prefork.cli.top.rates import Sample, rates
from prefork.cli.top.session import Session, request_of
from prefork.cli.top.table import Sort, rows
from prefork.cli.top.ui import Pane, Pause, Question, Quit, Recycle, Selected, TakeStacks, Ui
from prefork.errors import PreforkError
from prefork.ipc.control import (
    PauseRequest,
    RecycleRequest,
    Result,
    ResumeRequest,
    Stack,
    StacksRequest,
)
from prefork.ipc.status import ReloadStatus
from prefork.observe.memory import Memory

from .canned import Clock, running, sample, server, worker

BEFORE = sample(server(worker(1), worker(2)))
AFTER = sample(
    server(worker(1, 100, running=[running(elapsed_s=12.0)]), worker(2, 200), uptime_s=101.0), at_s=1.0
)


def picture(ui: Ui | None = None, after: Sample = AFTER, **more: object) -> Picture:
    ui, found = ui or Ui(), rates(BEFORE, after)
    values: dict[str, object] = {"requests_trail": [1.0, 2.0], "p99_trail": [0.5], **more}
    return Picture(after, found, rows(after, found, ui.sort), ui, **values)  # type: ignore[arg-type]


def shown(what: Picture, width: int = 80, height: int = 24) -> list[str]:
    return [line.plain for line in draw(what, width, height)]


@pytest.mark.parametrize("size", [(80, 24), (132, 43), (200, 60), (40, 10), (20, 5)])
@pytest.mark.parametrize("pane", list(Pane))
def test_it_fits_any_screen(size: tuple[int, int], pane: Pane) -> None:
    width, height = size
    lines = draw(picture(Ui(pane=pane), pane_lines=["x" * 300] * 100), width, height)
    assert len(lines) == height
    assert max(line.cell_len for line in lines) <= width


def test_the_screen_of_80_by_24() -> None:
    screen = shown(picture())
    assert screen[0].startswith("shop  serving  generation 2  up 101s  pid 4700")
    assert screen[1] == "listening on 127.0.0.1:8000"
    assert screen[2].startswith("req/s 300  p50 ")
    assert screen[3].startswith("workers 2/2  busy 1/8  queue 0 (highest 12 of 2048)")
    assert screen[5].split()[:3] == ["W", "PID", "GEN"]
    assert screen[6].split() == "1 4701 2 accepting 1/4 100 0 10.0M 12s GET /slow".split()
    assert screen[-1].startswith(" q  quit ")


def test_the_last_reload_and_its_reason_are_on_the_screen() -> None:
    failed = ReloadStatus(what="reload", ok=False, generation=3, ago_s=5.0, stage="import", error="a\x1b[2Jb")
    status = msgspec.structs.replace(AFTER.status, last_reload=failed)
    screen = draw(picture(after=sample(status)), 80, 24)
    assert screen[1].plain == "reload 5.0s ago: failed (import): a [2Jb"
    assert "red" in str(screen[1].spans)


def test_a_problem_takes_the_place_of_the_reload() -> None:
    assert shown(picture(problem="no server is running"))[1].startswith("no server is running")


def test_without_workers_it_says_so() -> None:
    assert "no workers (3 wanted)" in shown(picture(after=sample(server(workers_wanted=3))))


def test_the_pane_scrolls() -> None:
    screen = shown(
        picture(Ui(pane=Pane.STACKS, scroll=5), pane_title="worker 1", pane_lines=list(map(str, range(40))))
    )
    title = next(index for index, line in enumerate(screen) if line.startswith(" worker 1"))
    assert "6-" in screen[title]
    assert "of 40" in screen[title]
    assert screen[title + 1] == "5"


def test_long_lines_of_the_pane_go_on_below() -> None:
    frame = '    File "/srv/' + "releases/" * 12 + 'app.py", line 7 in view'
    screen = shown(picture(Ui(pane=Pane.STACKS), pane_lines=[frame]))
    first = next(index for index, line in enumerate(screen) if line.startswith("    File"))
    assert screen[first] + screen[first + 1].removeprefix("        ") == frame


def test_the_help_fits_the_narrowest_screen() -> None:
    assert max(map(len, HELP)) <= 80
    assert shown(picture(Ui(pane=Pane.HELP)))[9] == HELP[0]


def test_questions_and_messages_are_on_the_last_line() -> None:
    asked = Ui(question=Question("recycle worker 1 (pid 4)", Recycle(1)))
    assert shown(picture(asked))[-1].startswith(" recycle worker 1 (pid 4)? y/n")
    assert shown(picture(message="recycling begins"))[-1] == " recycling begins"


def test_many_workers_are_a_window_around_the_selected_one() -> None:
    many = sample(server(*(worker(number) for number in range(1, 101)), uptime_s=101.0))
    text = "\n".join(shown(picture(Ui(selected=Selected(70, 70)), after=many)))
    assert " 4770 " in text
    assert " 4701 " not in text


def test_charts() -> None:
    assert bars([0.0, 0.1, 1.0, 4.0, 7.0]) == " ▁▂▅▇"
    assert bars([0.0, 8.0], unicode=False) == " #"
    assert bars([]) == ""
    assert bars([0.0, 0.0]) == "  "


def test_lines_are_painted_in_the_colours_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = draw(picture(), 80, 24)
    coloured = _Painter().paint(lines, 80)
    assert len(coloured) == 24
    assert "\x1b[1;32mserving" in coloured[0]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1mserving" in _Painter().paint(lines, 80)[0]


# plain lines --------------------------------------------------------------------------------------------------------


def test_a_plain_line_for_each_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Sample | PreforkError] = [AFTER, PreforkError("gone"), AFTER]

    def ask(_path: str, _memory: MemoryWatch) -> Sample:
        answer = answers.pop(0)
        if isinstance(answer, PreforkError):
            raise answer
        return answer

    monkeypatch.setattr(plain, "sample", ask)
    out: list[str] = []

    class EnoughError(Exception):
        pass

    def wait(seconds: float) -> None:
        assert seconds == 0.5
        if len(out) > 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        plain.follow("/x", BEFORE, 0.5, once=False, wait=wait, show=out.append)
    assert out[0].split() == plain.heading().split()
    fields = dict(zip(out[0].split(), out[1].split(), strict=True))
    assert fields["STATE"] == "serving"
    assert fields["REQ/S"] == "300"
    assert fields["BUSY"] == "1/8"
    assert fields["PRIVATE"] == "30.0M"
    assert out[2].endswith(" gone")
    assert len(out) == 4


def test_once_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "sample", lambda *_: AFTER)
    out: list[str] = []
    plain.follow("/x", BEFORE, 0.5, once=True, wait=lambda _: None, show=out.append)
    assert len(out) == 2

    def fail(*_: object) -> Sample:
        raise PreforkError("gone")

    monkeypatch.setattr(plain, "sample", fail)
    with pytest.raises(PreforkError):
        plain.follow("/x", BEFORE, 0.5, once=True, wait=lambda _: None, show=out.append)


# news ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(clock: Clock) -> Session:
    clock.now = 0.0
    return Session(BEFORE, Ui(), clock)


def test_answers_become_rates_and_charts(session: Session) -> None:
    session.hear(AFTER)
    assert session.rates is not None
    assert list(session.requests_trail) == [300.0]
    assert [row.worker.worker for row in session.rows] == [1, 2]


def test_a_server_that_goes_and_comes_back(session: Session, clock: Clock) -> None:
    session.hear(Lost("no server is running at /x"))
    clock.now = 7.0
    session.hear(Lost("no server is running at /x"))
    assert session.problem == "as it was 7.0s ago, trying again: no server is running at /x"
    session.hear(sample(server(worker(1), pid=5000, uptime_s=1.0)))
    assert session.problem == ""
    assert session.message == "the server was started anew (pid 4700 before)"
    assert session.rates is None
    clock.now += 6.0
    assert session.message == ""


def test_a_new_generation_is_told(session: Session) -> None:
    session.hear(sample(server(worker(1), generation=3, uptime_s=101.0)))
    assert session.message == "generation 3 serves"


STACK = 'Current thread 0x0000000000007f01 (most recent call first):\n  File "/srv/a.py", line 3 in stuck\n'


def test_stacks_come_with_the_worker(session: Session) -> None:
    session.hear(AFTER)
    assert session.press("t", 10, 0) == TakeStacks(1)
    assert session.ui.pane is not Pane.NONE
    assert session.pane_lines == ["asking ..."]
    stack = Stack(worker=1, pid=4701, generation=2, text=STACK, running=[running(elapsed_s=12.0)])
    session.hear(Done(TakeStacks(1), Result(ok=True, data=msgspec.Raw(msgspec.json.encode([stack])))))
    assert session.pane_lines == [
        "pid 4701, generation 2, 100 requests, 12 connections, 0 restarts, rss 60.0M (private 10.0M)",
        "thread 1, 12s: GET /slow HTTP/1.1, from 192.0.2.7",
        '    File "/srv/a.py", line 3 in stuck',
    ]


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (Done(Recycle(1), Result(ok=True, text="recycling begins")), "recycling begins"),
        (Done(Recycle(1), Result(ok=False, error="no worker\x1b 1")), "not done: no worker  1"),
        (Done(Pause(True), None, "no server is running"), "no server is running"),
    ],
)
def test_what_became_of_a_command_is_told(session: Session, done: Done, said: str) -> None:
    session.hear(done)
    assert session.message == said


def test_stacks_that_nobody_gives(session: Session) -> None:
    session.press("t", 10, 0)
    session.hear(Done(TakeStacks(1), None, "no server is running"))
    assert session.pane_lines == ["no server is running"]


def test_effects_are_commands() -> None:
    assert request_of(TakeStacks(2)) == StacksRequest(worker=2)
    assert request_of(Recycle(2)) == RecycleRequest(worker=2)
    assert request_of(Pause(True)) == PauseRequest()
    assert request_of(Pause(False)) == ResumeRequest()
    assert request_of(Quit()) is None


# asking -------------------------------------------------------------------------------------------------------------


def test_memory_is_measured_as_often_as_it_is_cheap(clock: Clock) -> None:
    clock.now = 100.0
    measured: list[int] = []

    def measure(pid: int) -> Memory | None:
        measured.append(pid)
        clock.now += 0.1
        return None if pid == 4702 else Memory(1, 1, 0)

    watch = MemoryWatch(clock, measure)
    assert watch.look(server(worker(1), worker(2))).keys() == {4701}
    assert sorted(measured) == [4701, 4702]
    measured.clear()
    clock.now += 1.0
    # It took 0.2 s: not again within 4 s. Who is new, or could not be measured, does not wait.
    assert watch.look(server(worker(1), worker(2), worker(3))).keys() == {4701, 4703}
    assert sorted(measured) == [4702, 4703]
    measured.clear()
    clock.now += 4.0
    watch.look(server(worker(1)))
    assert measured == [4701]


def test_nobody_to_ask(tmp_path: Path) -> None:
    with pytest.raises(PreforkError, match="no server is running"):
        ask_for_sample(str(tmp_path / "none.sock"), MemoryWatch())


def test_orders_have_words_on_the_command_line() -> None:
    from prefork.cli.top import command

    assert set(command._ORDERS.values()) == {sort.value for sort in Sort}
    check: Callable[[str], float] = command._interval
    assert check("0.5") == check("0.5s") == 0.5
    for wrong in ("0", "-1", "nan", "1e9", "often"):
        with pytest.raises(Exception, match=r"must be|could not convert"):
            check(wrong)
