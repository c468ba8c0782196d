"""An interruption hits the request it is meant for, inside the application, or nobody: at any moment, very often."""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefork.errors import RequestTimeout
from prefork.ipc.boot import INTERRUPT_SIGNAL
from prefork.ipc.seat import SEAT_BYTES, Seat, mark_wanted
from prefork.worker.interruption import Interruptions
from prefork.worker.takeover import Takeovers
from support.deadline import Deadline
from support.measured import Measured

SECONDS = 4.0


def new_seat() -> tuple[Seat, Callable[[int], None]]:
    memory = mmap.mmap(-1, SEAT_BYTES)
    return Seat(memory, 0), lambda number: mark_wanted(memory, 0, number)


@pytest.fixture(autouse=True)
def _threads_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def handler_restored() -> Iterator[None]:
    before = signal.getsignal(INTERRUPT_SIGNAL)
    yield
    signal.signal(INTERRUPT_SIGNAL, before)


class Round:
    """Requests one after another in one thread, as a worker runs them; everything that comes out is accounted for."""

    def __init__(self, seat: Seat, interruptions: Interruptions, seed: int) -> None:
        self.seat = seat
        self.random = random.Random(seed)
        self.finished: set[int] = set()
        self.interrupted: set[int] = set()
        self.raised_inside: set[int] = set()
        self.stray: list[BaseException] = []
        self.call = interruptions.watched(self.application)

    def application(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes] | list[bytes]:
        number = environ["number"]
        try:
            self.work()
        except RequestTimeout:
            self.raised_inside.add(number)
            raise
        return self.body(number) if number % 2 else [b"whole"]

    def body(self, number: int) -> Iterator[bytes]:
        try:
            for _ in range(3):
                self.work()
                yield b"piece"
        except RequestTimeout:
            self.raised_inside.add(number)
            raise

    def work(self) -> None:
        for _ in range(self.random.randrange(300)):
            pass

    def serve(self, until: Callable[[], bool]) -> None:
        try:
            while not until():
                self.serve_one()
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            self.stray.append(error)

    def serve_one(self) -> None:
        seat = self.seat
        seat.begin("GET / HTTP/1.1", "")
        number = seat.number
        try:
            body = self.call({"number": number}, None)
            for _ in body:
                pass
            if hasattr(body, "close"):
                body.close()
        except RequestTimeout:
            self.interrupted.add(number)
        else:
            self.finished.add(number)
        seat.finish(200, 0)


def check(round_: Round, wanted: set[int]) -> None:
    assert round_.stray == [], "it came out of prefork's own code"
    assert round_.interrupted <= wanted, "somebody was interrupted whom nobody wanted interrupted"
    assert not round_.interrupted & round_.finished
    assert round_.raised_inside <= round_.interrupted
    assert round_.interrupted, "nobody was ever interrupted: this tests nothing"
    assert round_.finished & wanted, "no interruption ever came too late: this tests nothing"


def test_threads_of_a_pool(measured: Measured) -> None:
    interruptions = Interruptions()
    ends = threading.Event()
    rounds: list[Round] = []
    marks: list[Callable[[int], None]] = []
    wanted: list[set[int]] = []
    sat = threading.Barrier(4)
    for seed in range(3):
        seat, mark = new_seat()
        rounds.append(Round(seat, interruptions, seed))
        marks.append(mark)
        wanted.append(set())

    def run(round_: Round) -> None:
        interruptions.add_thread(round_.seat)
        sat.wait()
        round_.serve(ends.is_set)

    threads = [threading.Thread(target=run, args=(each,)) for each in rounds]
    for thread in threads:
        thread.start()
    sat.wait()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for round_, mark, numbers in zip(rounds, marks, wanted, strict=True):
            number = round_.seat.number
            numbers.add(number)
            mark(number)
            interruptions._interrupt_threads(Takeovers(time.monotonic, lambda _timed: None))
        time.sleep(0)
    ends.set()
    for thread in threads:
        thread.join(Deadline().remaining())
    for round_, numbers in zip(rounds, wanted, strict=True):
        check(round_, numbers)
    requests = sum(len(each.finished) + len(each.interrupted) for each in rounds)
    measured(f"{requests} requests, {sum(len(each.interrupted) for each in rounds)} interrupted")


@pytest.mark.usefixtures("handler_restored")
def test_the_main_thread(measured: Measured) -> None:
    interruptions = Interruptions()
    seat, mark = new_seat()
    interruptions.add_main(seat)
    round_ = Round(seat, interruptions, 1)
    wanted: set[int] = set()
    ends = threading.Event()

    def pester() -> None:
        chance = random.Random(2)
        while not ends.is_set():
            number = seat.number
            wanted.add(number)
            mark(number)
            os.kill(os.getpid(), INTERRUPT_SIGNAL)
            time.sleep(chance.random() * 0.0003)

    thread = threading.Thread(target=pester)
    thread.start()
    deadline = time.monotonic() + SECONDS
    try:
        round_.serve(lambda: time.monotonic() >= deadline)
    finally:
        ends.set()
        thread.join()
    check(round_, wanted)
    measured(
        f"{len(round_.finished) + len(round_.interrupted)} requests, {len(round_.interrupted)} interrupted"
    )


@pytest.mark.usefixtures("handler_restored")
@pytest.mark.parametrize("wait", ["sleep", "lock", "socket"])
def test_waiting_in_the_main_thread_is_interrupted(wait: str) -> None:
    import socket

    ours, theirs = socket.socketpair()
    lock = threading.Lock()
    lock.acquire()
    waits: dict[str, Callable[[], object]] = {
        "sleep": lambda: time.sleep(3600),
        "lock": lock.acquire,
        "socket": lambda: ours.recv(1),
    }
    interruptions = Interruptions()
    seat, mark = new_seat()
    interruptions.add_main(seat)
    call = interruptions.watched(lambda environ, start_response: waits[wait]())  # type: ignore[arg-type,return-value]
    seat.begin("GET / HTTP/1.1", "")
    mark(seat.number)
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), INTERRUPT_SIGNAL))
    timer.start()
    with pytest.raises(RequestTimeout):
        call({}, lambda *_: None)
    timer.join()
    ours.close()
    theirs.close()


@pytest.mark.usefixtures("handler_restored")
def test_one_that_came_outside_of_the_application_is_made_up_for() -> None:
    interruptions = Interruptions()
    seat, mark = new_seat()
    interruptions.add_main(seat)
    call = interruptions.watched(lambda environ, start_response: [b""])
    seat.begin("GET / HTTP/1.1", "")
    mark(seat.number)
    os.kill(os.getpid(), INTERRUPT_SIGNAL)
    with pytest.raises(RequestTimeout):
        call({}, lambda *_: None)
    # Once, and not the next request.
    assert call({}, lambda *_: None) == [b""]
    seat.begin("GET / HTTP/1.1", "")
    assert call({}, lambda *_: None) == [b""]


@pytest.mark.usefixtures("handler_restored")
def test_a_body_keeps_its_nature() -> None:
    interruptions = Interruptions()
    seat, _ = new_seat()
    interruptions.add_main(seat)
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a", b"b"])

        def close(self) -> None:
            closed.append(True)

    whole = [b"as it is"]
    assert interruptions.watched(lambda environ, start_response: whole)({}, print) is whole
    body = interruptions.watched(lambda environ, start_response: Body())({}, print)
    assert list(body) == [b"a", b"b"]
    body.close()  # type: ignore[attr-defined]
    assert closed == [True]
    plain = interruptions.watched(lambda environ, start_response: (each for each in [b"x"]))({}, print)
    assert list(plain) == [b"x"]
    plain.close()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="mine"):
        interruptions.watched(_raises)({}, print)


def _raises(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise ValueError("mine")
