"""The scoreboard: written by one process, read by another at the same time, counted beyond the end of its writer."""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from prefork import deadline
from prefork.ipc.scoreboard import (
    PAGE,
    ConnectionCounts,
    ConnectionCountsInPython,
    Place,
    Scoreboard,
    map_row,
    row_bytes,
    seats_for,
)
from prefork.ipc.seat import SEAT_BYTES, Seat, here
from prefork.ipc.totals import Totals
from prefork.speedups import shared
from support.measured import Measured


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    made = Scoreboard()
    yield made
    made.close()


def test_what_a_thread_runs_is_seen_until_it_is_finished(board: Scoreboard) -> None:
    row = map_row(Place(board.fd, board.assign(7, number=2, generation=3, seats=2)), 2)
    seat = row.seats[1]
    seat.sit(4711)
    before = time.monotonic_ns()
    seat.begin("GET /items?q=1 HTTP/1.1", "192.0.2.7")
    (running,) = board.running(7)
    assert (running.seat, running.number, running.thread) == (1, 1, 4711)
    assert (running.line, running.client) == ("GET /items?q=1 HTTP/1.1", "192.0.2.7")
    assert before <= running.began_ns == running.progress_ns <= time.monotonic_ns()
    seat.progress()
    seat.extend(5_000)
    (later,) = board.running(7)
    assert later.progress_ns > running.progress_ns
    assert (later.began_ns, later.extension_ns) == (running.began_ns, 5_000)
    seat.finish(200, 13)
    assert board.running(7) == []
    totals = board.totals()
    assert (totals.status_2xx, totals.bytes_out, totals.requests) == (1, 13, 1)
    assert totals.busy_ns > 0


def test_the_number_of_the_last_step_tells_whether_another_has_begun(board: Scoreboard) -> None:
    row = map_row(Place(board.fd, board.assign(7, number=2, generation=3, seats=2)), 2)
    row.seats[1].begin("GET / HTTP/1.1", "")
    (running,) = board.running(7)
    row.seats[1].finish(200, 0)
    assert board.steps(7) == {0: 0, 1: running.number}
    row.seats[1].begin("GET / HTTP/1.1", "")
    assert board.steps(7) == {0: 0, 1: running.number + 1}
    assert board.steps(8) == {}


def test_a_step_that_waits_for_its_client_does_not_run_and_keeps_its_extension(board: Scoreboard) -> None:
    row = map_row(Place(board.fd, board.assign(1, 1, 1, 1)), 1)
    seat = row.seats[0]
    seat.begin("GET / HTTP/1.1", "")
    seat.extend(9)
    extension = seat.suspend()
    assert board.running(1) == []
    seat.begin("GET / HTTP/1.1", "", 0.0, extension)
    (running,) = board.running(1)
    assert (running.number, running.extension_ns) == (2, 9)
    seat.finish(200, 0)
    assert board.totals().requests == 1


@pytest.mark.parametrize("line", ["GET /" + "x" * 9000 + " HTTP/1.1", "", "\0\0"])
def test_texts_are_bounded(board: Scoreboard, line: str) -> None:
    row = map_row(Place(board.fd, board.assign(1, 1, 1, 1)), 1)
    row.seats[0].begin(line, "c" * 500)
    (running,) = board.running(1)
    assert running.line == line[:256].rstrip("\0")
    assert running.client == "c" * 64


@pytest.mark.parametrize("status", [100, 204, 304, 404, 503, 999])
def test_each_status_has_its_class_and_no_other_counter(board: Scoreboard, status: int) -> None:
    row = map_row(Place(board.fd, board.assign(1, 1, 1, 1)), 1)
    seat = row.seats[0]
    seat.begin("GET / HTTP/1.1", "")
    seat.finish(status, 0)
    seat.count_exceptions(2)
    seat.count_shed()
    totals = board.totals()
    classes = [0] * 5
    if status < 600:
        classes[status // 100 - 1] = 1
    assert list(totals[:5]) == classes
    assert (totals.bytes_out, totals.exceptions, totals.shed) == (0, 2, 1)


def test_counters_outlive_their_worker_and_rows_are_used_again(board: Scoreboard) -> None:
    offsets = set()
    for worker in range(1, 6):
        offset = board.assign(worker, number=1, generation=1, seats=3)
        offsets.add(offset)
        row = map_row(Place(board.fd, offset), 3)
        assert board.running(worker) == []
        assert board.connections(worker) == 0
        row.count_connections(worker, worker + 10)
        assert board.connections(worker) == worker
        for seat in row.seats:
            seat.begin("GET / HTTP/1.1", "")
            seat.finish(200, 10)
        seat.begin("GET /unfinished HTTP/1.1", "")
        board.release(worker)
        assert board.workers == []
    assert len(offsets) == 1
    assert board.totals().requests == 15
    assert board.totals().bytes_out == 150
    assert board.totals().connections == sum(range(11, 16))
    assert sum(board.totals().duration) == 15


@pytest.mark.parametrize(("threads", "seats"), [(1, 1), (2, 3), (10, 11)])
def test_the_loop_of_a_pool_has_a_seat_that_is_no_thread_for_requests(
    board: Scoreboard, threads: int, seats: int
) -> None:
    assert seats_for(threads) == seats
    board.assign(1, 1, 1, seats)
    assert board.seats(1) == threads


def test_rows_of_other_sizes_do_not_overlap(board: Scoreboard) -> None:
    places = [(board.assign(worker, 1, 1, seats), seats) for worker, seats in enumerate([1, 4, 40, 1], 1)]
    ends = [(offset, offset + row_bytes(seats)) for offset, seats in places]
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ends))
    assert all(offset % PAGE == 0 for offset, _ in places)


def test_a_worker_of_another_layout_keeps_to_itself(board: Scoreboard) -> None:
    offset = board.assign(1, 1, 1, 1)
    os.pwrite(board.fd, b"another", 0)
    row = map_row(Place(board.fd, offset), 1)
    row.seats[0].begin("GET / HTTP/1.1", "")
    assert board.running(1) == []


def test_nobody_can_make_it_shorter(board: Scoreboard) -> None:
    """That would kill everybody who has it mapped (SIGBUS), the master first."""
    board.assign(1, 1, 1, 1)
    with pytest.raises(PermissionError):
        os.ftruncate(board.fd, 0)
    with pytest.raises(PermissionError):
        fcntl.fcntl(board.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)


def test_a_reader_never_sees_half_of_a_step(board: Scoreboard) -> None:
    """One process writes as fast as it can; each text it writes is of one letter, and the client is the same letter."""
    offset = board.assign(1, 1, 1, 1)
    writer = os.fork()
    if not writer:
        try:
            seat = map_row(Place(board.fd, offset), 1).seats[0]
            texts = [(letter * 200, letter * 50) for letter in "abcdefghij"]
            while True:
                for line, client in texts:
                    seat.begin(line, client)
                    seat.finish(200, 1)
        finally:
            os._exit(1)
    try:
        seen = set()
        end = time.monotonic() + 60
        while len(seen) < 300 and time.monotonic() < end:
            for running in board.running(1):
                assert set(running.line) == set(running.client)
                assert (len(running.line), len(running.client)) == (200, 50)
                assert running.line[0] == "abcdefghij"[(running.number - 1) % 10]
                seen.add(running.number)
        assert len(seen) >= 300
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)


def test_a_writer_that_died_in_the_middle_of_a_step_is_no_riddle(board: Scoreboard) -> None:
    offset = board.assign(1, 1, 1, 1)
    row = map_row(Place(board.fd, offset), 1)
    row.seats[0].begin("GET / HTTP/1.1", "")
    with mmap.mmap(board.fd, row_bytes(1), offset=offset) as memory:
        memory[2048:2056] = (2).to_bytes(8, "little")  # the number before the step, not the one after it
    assert board.running(1) == []


def test_each_thread_has_a_seat_of_its_own_and_extends_nobody_elses() -> None:
    seats = [here.seat]
    thread = threading.Thread(target=lambda: seats.append(here.seat))
    thread.start()
    thread.join()
    assert seats[0] is here.seat
    assert seats[0] is not seats[1]


def test_extensions_add_up_and_only_go_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Scoreboard()
    seat = map_row(Place(board.fd, board.assign(1, 1, 1, 1)), 1).seats[0]
    monkeypatch.setattr(here, "seat", seat)
    seat.begin("GET / HTTP/1.1", "")
    deadline.extend(1.5)
    deadline.extend(2)
    (running,) = board.running(1)
    assert running.extension_ns == 3_500_000_000
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="later"):
            deadline.extend(wrong)
    deadline.extend(float("inf"))
    board.close()


def test_totals_add() -> None:
    one = Totals(status_2xx=1, bytes_out=5)
    assert (one + one).bytes_out == 10
    assert (one + one).requests == 2


def test_what_a_request_costs(measured: Measured) -> None:
    seat = Seat(mmap.mmap(-1, SEAT_BYTES), 0)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter_ns()
        for _ in range(2000):
            seat.begin("GET /items/4?q=1 HTTP/1.1", "127.0.0.1")
            seat.finish(200, 13)
        best = min(best, (time.perf_counter_ns() - start) / 2000)
    measured(f"begin and finish: {best:.0f} ns a request")
    # Ten times what it takes; a mistake of another order (a system call, a lock) is what this finds.
    assert best < 10_000


def test_a_board_of_another_layout_is_replaced_and_its_counts_go_on(board: Scoreboard) -> None:
    row = map_row(Place(board.fd, board.assign(1, 1, 1, 1)), 1)
    row.count_connections(1, 4)
    for status in (200, 404):
        row.seats[0].begin("GET / HTTP/1.1", "", time.monotonic())
        row.seats[0].finish(status, 10, 3)
    counted = board.counted()
    assert Scoreboard.inherited(os.dup(board.fd)).totals() == board.totals()
    os.pwrite(board.fd, b"\x63", 8)
    later = Scoreboard.inherited(fd := os.dup(board.fd), counted)
    assert (later.replaced, later.fd, later.workers) == (True, fd, [])
    assert later.totals() == board.totals()
    later.close()


@pytest.mark.parametrize("counted", [{}, {"status_2xx": 3, "duration": [1, 2], "unheard_of": 7}])
def test_what_another_release_does_not_count_is_nothing(
    board: Scoreboard, counted: dict[str, object]
) -> None:
    os.pwrite(board.fd, b"\x63", 8)
    later = Scoreboard.inherited(os.dup(board.fd), counted)
    assert later.totals().requests == counted.get("status_2xx", 0)
    assert sum(later.totals().duration) == 0
    later.close()


COUNTS = [ConnectionCountsInPython, *([] if shared is None else [shared.ConnectionCounts])]


def test_connections_are_counted_by_the_compiled_one_where_there_is_one() -> None:
    assert ConnectionCounts is COUNTS[-1]


@pytest.mark.parametrize("make", COUNTS)
def test_counts_of_connections_are_two_numbers_and_nothing_else(make: type[ConnectionCountsInPython]) -> None:
    memory = mmap.mmap(-1, 4096)
    memory[:] = b"\xff" * 4096
    counts = make(memory, 72)
    counts.tell(3, 1 << 40)
    assert struct.unpack_from("@QQ", memory, 72) == (3, 1 << 40)
    assert memory[:72] == b"\xff" * 72
    assert memory[88:] == b"\xff" * 4008
    for at in (-8, 4, 4088, 4096, 1 << 40):
        with pytest.raises(ValueError, match="no such place"):
            make(memory, at)
    for wrong in ((1,), (1, 2, 3), ("1", 2), (1, 2.5)):
        with pytest.raises(TypeError):
            counts.tell(*wrong)  # type: ignore[arg-type, call-arg]
