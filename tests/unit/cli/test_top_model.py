"""What `prefork top` makes of two answers, and what its keys do."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.cli.top.keys import Keys
from prefork.cli.top.layout import layout, window
from prefork.cli.top.rates import rates
from prefork.cli.top.summary import answers, fitting, load
from prefork.cli.top.table import REQUEST, Row, Sort, cells, columns, headings, rows
from prefork.cli.top.ui import (
    Effect,
    Pane,
    Pause,
    Quit,
    Recycle,
    Redraw,
    Scene,
    Selected,
    TakeStacks,
    Ui,
    index_of,
    press,
)

from .canned import counters, histogram, running, sample, server, worker

# rates --------------------------------------------------------------------------------------------------------------


def test_rates_are_differences_by_the_clock_of_the_server() -> None:
    before = server(worker(1, 1000, cpu_s=5.0), worker(2, 50, cpu_s=1.0), cpu_s=6.0)
    after = server(worker(1, 1300, cpu_s=6.0), worker(2, 50, cpu_s=1.0), cpu_s=7.5, uptime_s=102.0)
    found = rates(sample(before, at_s=0.0), sample(after, at_s=77.0))
    assert found is not None
    assert found.interval_s == 2.0
    assert found.requests_per_s == 150.0
    assert found.cpu == 0.75
    assert found.p50_s == pytest.approx(0.003, rel=0.15)
    assert found.workers[1].requests_per_s == 150.0
    assert found.workers[1].cpu == 0.5
    assert (found.workers[2].requests_per_s, found.workers[2].p99_s) == (0.0, None)


def test_quantiles_are_those_of_the_interval_not_of_the_life() -> None:
    old = counters(1000, duration_s=0.001)
    slow = histogram(10, 2.0)
    new = msgspec.structs.replace(
        old, requests=1010, duration=[a + b for a, b in zip(old.duration, slow, strict=True)]
    )
    found = rates(sample(server(counters=old)), sample(server(counters=new, uptime_s=101.0)))
    assert found is not None
    assert found.p50_s == pytest.approx(2.0, rel=0.15)


def test_errors_are_shares_of_the_answers() -> None:
    found = rates(
        sample(server(counters=counters(100))),
        sample(server(counters=counters(120, failed=5, exceptions=4, shed=2, bytes_out=500), uptime_s=102.0)),
    )
    assert found is not None
    assert found.server_errors == 0.25
    assert found.client_errors == 0.0
    assert (found.exceptions_per_s, found.shed_per_s, found.bytes_out_per_s) == (2.0, 1.0, 250.0)


@pytest.mark.parametrize(
    "after",
    [
        server(worker(1, 5), pid=4999, uptime_s=1.0),  # another server
        server(worker(1, 5), uptime_s=99.0),  # the same process, another program
        server(worker(1, 5), counters=None, uptime_s=101.0),
    ],
)
def test_there_are_no_rates_across_lives(after: object) -> None:
    assert rates(sample(server(worker(1, 1))), sample(after)) is None  # type: ignore[arg-type]


def test_a_worker_that_is_new_has_no_rates_yet() -> None:
    found = rates(sample(server(worker(1, 1))), sample(server(worker(1, 2), worker(2, 9), uptime_s=101.0)))
    assert found is not None
    assert 2 not in found.workers


def test_histograms_of_another_release_are_not_guessed_at() -> None:
    odd = msgspec.structs.replace(counters(5), duration=[1, 2, 3])
    found = rates(sample(server(counters=odd)), sample(server(counters=odd, uptime_s=101.0)))
    assert found is not None
    assert found.p99_s is None


# rows ---------------------------------------------------------------------------------------------------------------

WORKERS = (
    worker(1, 100, cpu_s=9.0, running=[running(elapsed_s=0.5)]),
    worker(2, 900, cpu_s=1.0, running=[running("GET /a HTTP/1.1", 3.0), running("GET /b HTTP/1.1", 1.0)]),
    worker(3, 500, cpu_s=2.0),
)
BEFORE = sample(server(worker(1), worker(2), worker(3)))
AFTER = sample(server(*WORKERS, uptime_s=110.0))


def ordered(sort: Sort) -> list[int]:
    return [row.worker.worker for row in rows(AFTER, rates(BEFORE, AFTER), sort)]


@pytest.mark.parametrize(
    ("sort", "numbers"),
    [
        (Sort.WORKER, [1, 2, 3]),
        (Sort.REQUESTS, [2, 3, 1]),
        (Sort.CPU, [1, 3, 2]),
        (Sort.MEMORY, [3, 2, 1]),
        (Sort.AGE, [2, 1, 3]),
    ],
)
def test_rows_are_sorted_largest_first(sort: Sort, numbers: list[int]) -> None:
    assert ordered(sort) == numbers


def test_without_rates_rows_are_in_their_own_order() -> None:
    for sort in (Sort.REQUESTS, Sort.CPU):
        assert [row.worker.worker for row in rows(AFTER, None, sort)] == [1, 2, 3]


def test_a_row_shows_the_request_that_runs_longest() -> None:
    row = rows(AFTER, rates(BEFORE, AFTER), Sort.WORKER)[1]
    shown = " ".join(cell for _, cell in cells(row, columns(100)))
    assert shown.split()[:5] == ["2", "4702", "2", "accepting", "2/4"]
    assert shown.endswith("3.0s (+1) GET /a")


def test_a_client_cannot_steer_the_terminal() -> None:
    status = server(worker(1, running=[running("GET /\x1b[2J\x9b HTTP/1.1")]))
    (row,) = rows(sample(status), None, Sort.WORKER)
    assert REQUEST.cell(row) == "GET / [2J  HTTP/1.1".removesuffix(" HTTP/1.1")


@pytest.mark.parametrize("width", [80, 100, 132, 200])
def test_columns_leave_room_for_the_request(width: int) -> None:
    shown = columns(width)
    assert sum(column.width + 1 for column in shown) + 20 <= width
    assert len(headings(width)) == width
    titles = [column.title for column in shown]
    assert {"W", "PID", "GEN", "STATE", "BUSY", "REQ/S", "CPU%", "PRIV", "AGE"} <= set(titles)
    if width >= 150:
        assert {"RSS", "SHARED", "CONN", "RST", "UP", "P99", "REQUESTS"} <= set(titles)


def test_the_summary_drops_what_matters_least() -> None:
    items = answers(rates(BEFORE, AFTER))
    assert [item.name for item in fitting(items, 62)] == ["req/s", "p50", "p99", "5xx", "4xx", "cpu"]
    assert fitting(items, 200) == items
    assert fitting(items, 5) == []


def test_the_summary_marks_what_somebody_should_look_at() -> None:
    busy = worker(1, threads=1, running=[running()])
    full = msgspec.structs.replace(server().queues[0], length=2048)
    bad = {item.name for item in load(server(busy, queues=[full], workers_wanted=2), None) if item.bad}
    assert bad == {"workers", "busy", "queue"}


# keys ---------------------------------------------------------------------------------------------------------------

ROWS = rows(AFTER, rates(BEFORE, AFTER), Sort.WORKER)
SCENE = Scene(ROWS, pane_height=10, pane_length=35)


def after(*keys: str, ui: Ui | None = None, scene: Scene = SCENE) -> tuple[Ui, list[Effect]]:
    ui = ui or Ui()
    effects = []
    for key in keys:
        ui, effect = press(ui, key, scene)
        effects += [effect] if effect is not None else []
    return ui, effects


@pytest.mark.parametrize(
    ("keys", "selected"),
    [
        (["down"], 2),
        (["j", "j"], 3),
        (["j", "j", "j", "j", "k"], 2),
        (["up"], 1),
        (["end"], 3),
        (["page-down", "home"], 1),
    ],
)
def test_arrows_select_within_the_rows(keys: list[str], selected: int) -> None:
    ui, effects = after(*keys)
    assert ui.selected == Selected(selected, selected)
    assert effects == []


def test_a_selection_follows_the_worker_and_then_its_number() -> None:
    second = Selected(2, 2)
    assert index_of(second, ROWS) == 1
    assert index_of(second, list(reversed(ROWS))) == 1
    replaced = [Row(worker(2, id=9), ROWS[0].rates, None), ROWS[2]]
    assert index_of(second, replaced) == 0
    both = [Row(worker(2, state="draining"), ROWS[0].rates, None), *replaced]
    assert index_of(second, both) == 0
    assert index_of(Selected(2, 7), both) == 1
    assert index_of(second, [ROWS[0], ROWS[2]]) == 1
    assert index_of(second, []) == 0


def test_sort_keys() -> None:
    ui, _ = after("s")
    assert ui.sort is Sort.REQUESTS
    ui, _ = after(*"s" * len(Sort))
    assert ui.sort is Sort.WORKER
    for key, sort in zip("rcmaw", (Sort.REQUESTS, Sort.CPU, Sort.MEMORY, Sort.AGE, Sort.WORKER), strict=True):
        assert after(key)[0].sort is sort


def test_recycling_asks_first() -> None:
    ui, effects = after("j", "R")
    assert ui.question is not None
    assert "worker 2 (pid 4702)" in ui.question.text
    assert effects == []
    assert after("y", ui=ui) == (replace(ui, question=None), [Recycle(2)])
    for no in ("n", "escape", "q", "enter"):
        assert after(no, ui=ui) == (replace(ui, question=None), [])
    assert after("x", "j", ui=ui) == (ui, [])


def test_pause_and_resume_ask_first() -> None:
    assert after("p", "y")[1] == [Pause(True)]
    assert after("p", "y", scene=Scene([], paused=True))[1] == [Pause(False)]


def test_stacks_open_a_pane_that_scrolls_and_closes() -> None:
    ui, effects = after("j", "enter")
    assert ui.pane is Pane.STACKS
    assert effects == [TakeStacks(2)]
    assert after("j", ui=ui)[0].scroll == 1
    assert after("page-down", "page-down", "page-down", ui=ui)[0].scroll == 25
    assert after("end", "up", ui=ui)[0].scroll == 24
    assert after("end", "home", ui=ui)[0].scroll == 0
    assert after("t", ui=ui)[1] == [TakeStacks(2)]
    moved, effects = after("right", ui=ui)
    assert moved.selected == Selected(3, 3)
    assert effects == [TakeStacks(3)]
    assert after("left", ui=moved)[1] == [TakeStacks(2)]
    for key in ("q", "escape"):
        assert after(key, ui=ui)[0].pane is Pane.NONE
    assert after("q", "q", ui=ui)[1] == [Quit()]


def test_recycling_works_with_the_stacks_open() -> None:
    assert after("t", "R", "y")[1] == [TakeStacks(1), Recycle(1)]


def test_help_opens_and_closes() -> None:
    for key in ("h", "?"):
        assert after(key)[0].pane is Pane.HELP
        assert after(key, key)[0].pane is Pane.NONE
    assert after("h", "t", "R", "r")[1] == []


def test_without_workers_no_key_does_harm() -> None:
    for key in ("j", "k", "t", "enter", "R", "home", "page-up", "left", "right"):
        assert after(key, scene=Scene([])) == (Ui(), [])
        assert after(key, ui=Ui(pane=Pane.STACKS), scene=Scene([]))[1] == []


def test_the_screen_can_be_drawn_anew_from_everywhere() -> None:
    for before in ([], ["h"], ["R"]):
        assert after(*before, "ctrl-l")[1] == [Redraw()]


KEYS = st.sampled_from(
    [*"jkshtR pqynrcmaw?b", "up", "down", "left", "right", "home", "end", "page-up", "page-down", "escape"]
)


@given(st.lists(KEYS), st.lists(st.sampled_from(WORKERS), unique_by=lambda each: each.id))
def test_no_keys_lead_astray(keys: list[str], workers: list[object]) -> None:
    status = server(*workers)  # type: ignore[arg-type]
    ui = Ui()
    for key in keys:
        ui, effect = press(ui, key, Scene(rows(sample(status), None, ui.sort), pane_height=5, pane_length=9))
        assert 0 <= ui.scroll <= 4
        if isinstance(effect, TakeStacks | Recycle):
            assert effect.worker in [each.worker for each in status.workers]


# bytes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"jk", ["j", "k"]),
        (b"\x1b[A\x1bOB", ["up", "down"]),
        (b"\x1b[5~q\x1b[6~", ["page-up", "q", "page-down"]),
        (b"\r\n\x0c", ["enter", "enter", "ctrl-l"]),
        (b"\x1b[1;5C\x1b[200~x", ["x"]),
        (b"\x1b\x1b[B", ["escape", "down"]),
        (b"\xff", ["\xff"]),
    ],
)
def test_bytes_are_keys(data: bytes, keys: list[str]) -> None:
    assert Keys().feed(data) == keys
    one_by_one = Keys()
    assert [key for byte in data for key in one_by_one.feed(bytes([byte]))] == keys


def test_an_escape_alone_is_a_key_once_nothing_follows() -> None:
    keys = Keys()
    assert keys.feed(b"j\x1b") == ["j"]
    assert keys.unfinished
    assert keys.settle() == ["escape"]
    assert not keys.unfinished
    assert keys.settle() == []
    assert keys.feed(b"\x1b[") == []
    assert keys.settle() == ["escape", "["]


@given(st.binary(max_size=40))
def test_any_bytes_are_some_keys(data: bytes) -> None:
    keys = Keys()
    keys.feed(data)
    keys.settle()
    assert keys.feed(b"q") == ["q"]


# heights ------------------------------------------------------------------------------------------------------------


@given(st.integers(8, 100), st.integers(0, 200), st.booleans())
def test_a_screen_is_shared_out_completely(height: int, workers: int, pane: bool) -> None:
    shared = layout(height, workers, pane=pane)
    used = shared.summary + 1 + shared.workers + 1 + ((1 + shared.pane) if pane else 0)
    assert used == height or height < 9
    assert shared.workers >= 1
    assert bool(shared.pane) is pane


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 20))
def test_the_selected_row_is_on_the_screen(selected: int, count: int, height: int) -> None:
    selected = min(selected, count - 1)
    shown = window(selected, count, height)
    assert selected in shown
    assert len(shown) == min(count, height)
