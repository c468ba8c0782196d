"""Accepting: one at a time, only when a request could start, and never a wake-up lost."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from prefork.worker.acceptor import (
    CLIENT_GONE,
    EVICT,
    PAUSE_S,
    STEP_BACK_AFTER,
    STEP_BACK_EVERY_S,
    Acceptor,
    Door,
)
from prefork.worker.connection import Phase
from prefork.worker.newcomers import MAX_PATIENCE_S, PATIENCE_S, STALE_S
from prefork.wsgi.environ import connection_environ
from support.serving import FakeClock, Station, hello, station

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


class Executor:
    """Saturated when the test says so."""

    def __init__(self) -> None:
        self.saturated = False
        self.finished = 0
        self.asked = 0

    def tell_when_free(self) -> None:
        self.asked += 1


class Listening:
    """A listening socket whose accept(2) may fail."""

    def __init__(self) -> None:
        self.real = socket.create_server(("127.0.0.1", 0))
        self.real.setblocking(False)
        self.errors: list[int] = []
        self.accepted = 0

    def fileno(self) -> int:
        return self.real.fileno()

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            code = self.errors.pop(0)
            raise OSError(code, os.strerror(code))
        pair = self.real.accept()
        self.accepted += 1
        return pair


class Front:
    """An acceptor with one listener, in a station."""

    def __init__(self, made: Station, share: int = 1, alone: bool = False, step_back_s: float = 0.0) -> None:
        self.made = made
        self.listener = Listening()
        self.executor = Executor()
        self.baton = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.clients: list[socket.socket] = []
        sock: Any = self.listener
        executor: Any = self.executor
        self.acceptor = Acceptor(
            made.loop,
            [Door(sock, self.receive)],
            made.connections,
            executor,
            self.executor.tell_when_free,
            made.log,
            self.baton,
            share,
            alone,
            step_back_s,
        )

    def receive(self, sock: socket.socket, peer: object) -> None:
        self.made.connections.open(sock, peer, connection_environ(self.made.base, peer))

    def connect(self, raw: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.listener.real.getsockname()[:2], timeout=10)
        self.clients.append(client)
        if raw:
            client.sendall(raw)
        return client

    def batons(self) -> int:
        """How many batons were passed on since last asked."""
        try:
            return os.eventfd_read(self.baton)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        self.acceptor.leave()
        for client in self.clients:
            client.close()
        self.listener.real.close()
        os.close(self.baton)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def front(clock: FakeClock) -> Iterator[Front]:
    with station(hello, clock=clock, maximum=20) as made:
        front = Front(made)
        yield front
        front.close()


def until_accepted(front: Front, count: int) -> None:
    front.made.until(lambda: front.listener.accepted == count, f"{count} accepted")


def settle_at(front: Front, phase: Phase) -> None:
    front.made.until(lambda: all(c.phase is phase for c in front.made.members), phase.name)


def test_nothing_is_accepted_before_it_is_told(front: Front) -> None:
    front.connect()
    front.made.turn(3)
    assert front.listener.accepted == 0
    front.acceptor.resume()
    front.acceptor.resume()
    until_accepted(front, 1)


def test_few_connections_in_each_turn(front: Front) -> None:
    front.acceptor.resume()
    for _ in range(9):
        front.connect()
    for turn in range(1, 5):
        front.made.turn()
        assert front.listener.accepted <= 2 * turn  # one for the listener, one for the baton
    until_accepted(front, 9)


def test_a_request_that_came_with_the_connection_is_answered(front: Front) -> None:
    front.acceptor.resume()
    client = front.connect(GET)
    until_accepted(front, 1)
    front.made.until(lambda: front.made.connections.requests, "the request")
    assert client.recv(1000).endswith(b"hello")


def test_saturated_leaves_connections_to_others(front: Front) -> None:
    front.acceptor.resume()
    front.executor.saturated = True
    front.acceptor.yield_when_saturated()
    assert front.executor.asked == 1
    front.connect()
    front.made.turn(3)
    assert front.listener.accepted == 0
    front.acceptor.resume()
    assert front.executor.asked == 2
    front.executor.saturated = False
    front.acceptor.resume()
    until_accepted(front, 1)


def test_saturated_after_the_wake_up_passes_it_on(front: Front) -> None:
    front.acceptor.resume()
    front.connect()
    ready = front.acceptor._callback(next(iter(front.acceptor._doors.values())))
    ready(1)
    front.executor.saturated = True
    front.batons()
    front.made.loop._deferred.popleft()()
    assert front.batons() == 1
    assert front.executor.asked == 1
    assert front.listener.accepted == 0


def test_a_wake_up_together_with_other_work_is_passed_on_before_that_work(front: Front) -> None:
    order: list[str] = []
    front.acceptor.resume()
    front.made.turn()
    front.batons()
    front.connect()
    front.made.loop.post(lambda: order.append(f"work, {front.batons()} batons"))
    front.made.loop.run(front.made.loop.stop)
    assert order == ["work, 1 batons"]


def test_a_wake_up_before_deferred_work_is_passed_on_before_that_work(front: Front) -> None:
    order: list[str] = []
    front.acceptor.resume()
    front.made.turn()
    front.batons()
    front.connect()
    front.made.loop.defer(lambda: order.append(f"work, {front.batons()} batons"))
    front.made.loop.run(front.made.loop.stop)
    assert order == ["work, 1 batons"]


def test_who_takes_the_baton_looks_at_all_listeners(front: Front) -> None:
    front.acceptor.resume()
    front.made.turn()
    front.connect()
    os.eventfd_write(front.baton, 1)
    until_accepted(front, 1)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_who_takes_several_batons_passes_the_rest_on(front: Front, count: int) -> None:
    os.eventfd_write(front.baton, count)
    front.acceptor._take_baton(1)
    assert front.batons() == count - 1


def test_a_baton_that_somebody_else_took(front: Front) -> None:
    front.acceptor._take_baton(1)
    assert front.batons() == 0


# Too many -------------------------------------------------------------------------------------------------------------


def test_at_the_maximum_idle_connections_yield(front: Front) -> None:
    front.acceptor.resume()
    for number in range(20):
        front.connect(GET)
        until_accepted(front, number + 1)
    settle_at(front, Phase.IDLE)
    assert len(front.made.connections) == 20
    front.connect(GET)
    until_accepted(front, 21)
    assert len(front.made.connections) == 21 - EVICT


def test_a_late_baton_is_no_reason_to_close_anybody(front: Front) -> None:
    front.acceptor.resume()
    for number in range(20):
        front.connect(GET)
        until_accepted(front, number + 1)
    settle_at(front, Phase.IDLE)
    os.eventfd_write(front.baton, 1)
    front.made.turn(3)
    assert len(front.made.connections) == 20


def test_at_the_maximum_without_idle_ones_the_rest_waits(front: Front) -> None:
    front.acceptor.resume()
    for number in range(20):
        front.connect(b"GET / HT")
        until_accepted(front, number + 1)
    settle_at(front, Phase.HEAD)
    front.connect(GET)
    front.batons()
    front.made.turn(5)
    assert front.listener.accepted == 20
    assert len(front.made.connections) == 20
    assert front.batons() >= 1  # another worker may have room
    front.clients[3].close()
    until_accepted(front, 21)


def test_when_many_come_at_once_the_others_have_a_moment(clock: FakeClock) -> None:
    """A worker that runs would take all of them before the others, which have been woken, run at all."""
    with station(hello, clock=clock, maximum=100) as made:
        front = Front(made, step_back_s=0.001)
        front.acceptor.resume()
        for _ in range(30):
            front.connect()
        until_accepted(front, STEP_BACK_AFTER)
        front.batons()
        made.turn(5)
        assert front.listener.accepted == STEP_BACK_AFTER
        clock.now += 0.0011
        made.turn(2)
        # Nobody came: it takes them all, for it does not step back again so soon.
        until_accepted(front, 30)
        clock.now += STEP_BACK_EVERY_S
        for _ in range(30):
            front.connect()
        made.turn(60)
        assert front.listener.accepted < 30 + 2 * STEP_BACK_AFTER
        assert front.batons() >= 1
        front.close()


# Out of descriptors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_out_of_descriptors_idle_connections_make_room(front: Front, code: int) -> None:
    front.acceptor.resume()
    for number in range(EVICT + 2):
        front.connect(GET)
        until_accepted(front, number + 1)
    settle_at(front, Phase.IDLE)
    front.listener.errors = [code]
    front.connect(GET)
    until_accepted(front, EVICT + 3)
    assert front.made.log.events == ["accept_failed"]
    assert front.made.log.fields("accept_failed")["closed_idle"] == EVICT
    assert len(front.made.connections) == 3


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_out_of_descriptors_without_idle_connections(front: Front, clock: FakeClock, code: int) -> None:
    front.acceptor.resume()
    front.connect(b"GET /")
    until_accepted(front, 1)
    front.batons()
    front.listener.errors = [code] * 100
    front.connect(GET)
    front.made.until(lambda: front.made.log.events, "the warning")
    left = len(front.listener.errors)
    front.made.turn(5)
    assert len(front.listener.errors) == left  # not again in each turn
    assert front.made.log.events == ["accept_failed"]
    assert front.batons() >= 1  # another worker may have descriptors
    assert 0 < front.made.loop._wheel.timeout_s(clock.now) <= PAUSE_S + 1
    front.listener.errors = []
    clock.now += PAUSE_S + 1
    front.made.turn()
    until_accepted(front, 2)


def test_the_pause_ends_with_the_next_connection_that_closes(front: Front) -> None:
    front.acceptor.resume()
    front.connect(b"GET /")
    until_accepted(front, 1)
    front.listener.errors = [errno.EMFILE]
    front.connect(GET)
    front.made.until(lambda: front.made.log.events, "the warning")
    front.clients[0].close()
    until_accepted(front, 2)


def test_after_a_pause_an_idle_worker_sleeps(front: Front, clock: FakeClock) -> None:
    front.acceptor.resume()
    front.connect(b"GET /")
    until_accepted(front, 1)
    front.listener.errors = [errno.EMFILE]
    front.connect(CLOSING)
    front.made.until(lambda: front.made.log.events, "the warning")
    front.clients[0].close()
    until_accepted(front, 2)
    front.clients[1].close()
    front.made.until(lambda: not len(front.made.connections), "the end")
    assert front.made.loop._wheel.timeout_s(clock.now) == -1


CLOSING = b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("code", sorted(CLIENT_GONE))
def test_a_client_that_is_gone_already_is_no_reason_to_pause(front: Front, code: int) -> None:
    front.acceptor.resume()
    front.listener.errors = [code]
    front.connect(GET)
    until_accepted(front, 1)
    assert front.made.log.events == []


# Leaving --------------------------------------------------------------------------------------------------------------


def test_after_leaving_nothing_is_accepted(front: Front, clock: FakeClock) -> None:
    front.acceptor.resume()
    front.acceptor.leave()
    front.connect(GET)
    front.acceptor.resume()
    front.acceptor.expire()
    clock.now += 100
    front.made.turn(3)
    assert front.listener.accepted == 0


def test_the_backlog_is_taken_at_once(front: Front) -> None:
    front.acceptor.resume()
    for _ in range(7):
        front.connect(b"GET /")
    front.acceptor.leave()
    front.listener.errors = [errno.ECONNABORTED]
    taken = front.acceptor.take_backlog([front.listener.fileno(), 999_999])
    assert taken == 7
    assert len(front.made.connections) == 7
    assert front.acceptor.take_backlog([front.listener.fileno()]) == 0


STEP_S = PATIENCE_S / 4


def saturate(front: Front, clock: FakeClock, seconds: float, *, progress: bool) -> None:
    """Time passes in which the threads are never free; every now and then one is, for a moment too short for a new connection."""
    for _ in range(round(seconds / STEP_S)):
        clock.now += STEP_S
        front.executor.finished += progress
        front.executor.saturated = False
        front.acceptor.resume()
        front.executor.saturated = True
        front.made.turn()
        front.acceptor.yield_when_saturated()


@pytest.mark.parametrize("progress", [True, False])
def test_new_connections_have_their_turn_beside_those_that_keep_all_threads_busy(progress: bool) -> None:
    clock = FakeClock()
    with station(hello, clock=clock) as made:
        front = Front(made)
        try:
            front.executor.saturated = True
            front.acceptor.resume()
            for _ in range(3):
                front.connect()
            saturate(front, clock, PATIENCE_S / 2, progress=progress)
            assert front.listener.accepted == 0, "another worker may have a free thread"
            saturate(front, clock, 5 * PATIENCE_S, progress=progress)
            assert front.listener.accepted == (3 if progress else 0)
        finally:
            front.close()


def test_new_connections_have_their_turn_beside_slow_requests_that_never_leave_a_thread_to_them() -> None:
    clock = FakeClock()
    with station(hello, clock=clock) as made:
        front = Front(made)
        try:
            front.executor.saturated = True
            front.acceptor.resume()
            front.connect()
            for _ in range(2):
                clock.now += 4 * STALE_S
                front.made.turn()
                front.executor.finished += 1
                front.executor.saturated = False
                front.acceptor.resume()
                front.executor.saturated = True  # the next request of the client that has just been answered
                front.acceptor.yield_when_saturated()
            front.acceptor.yield_when_saturated()
            assert front.listener.accepted == 1
        finally:
            front.close()


def test_a_look_that_found_nobody_is_not_repeated_at_once(clock: FakeClock) -> None:
    looks: list[float] = []
    with station(hello, clock=clock) as made:
        front = Front(made)
        real = front.acceptor._waiting

        def waiting() -> list[int]:
            looks.append(clock.now)
            return real()

        def pass_time(seconds: float) -> None:
            for _ in range(round(seconds / STEP_S)):
                clock.now += STEP_S
                front.executor.finished += 1
                made.turn()
                front.acceptor.yield_when_saturated()

        front.acceptor._waiting = waiting  # type: ignore[method-assign]
        front.executor.saturated = True
        front.acceptor.resume()
        try:
            pass_time(5 * MAX_PATIENCE_S)
            apart = [round((b - a) / PATIENCE_S) for a, b in pairwise(looks)]
            assert apart[:4] == [2, 4, 8, 8]
            front.connect()
            looks.clear()
            pass_time(2 * MAX_PATIENCE_S)
            assert front.listener.accepted == 1
            assert [round((b - a) / PATIENCE_S) for a, b in pairwise(looks)][:2] == [1, 2]
        finally:
            front.close()


def test_who_has_listened_for_long_leaves_new_connections_to_others_at_first(
    front: Front, clock: FakeClock
) -> None:
    saturate(front, clock, PATIENCE_S, progress=True)
    front.executor.saturated = False
    front.acceptor.resume()
    clock.now += 2 * STALE_S
    front.made.turn()
    front.executor.saturated = True
    front.executor.finished += 1
    front.connect()
    front.acceptor.yield_when_saturated()
    front.acceptor.yield_when_saturated()
    assert front.listener.accepted == 0
    clock.now += PATIENCE_S
    front.executor.finished += 1
    front.made.turn()
    front.acceptor.yield_when_saturated()
    assert front.listener.accepted == 1


@pytest.mark.parametrize(("share", "maximum", "taken"), [(1, 20, [1, 2]), (4, 20, [4, 6]), (4, 3, [3, 3])])
def test_so_many_new_connections_have_their_turn_together(share: int, maximum: int, taken: list[int]) -> None:
    clock = FakeClock()
    with station(hello, clock=clock, maximum=maximum) as made:
        front = Front(made, share)
        try:
            front.executor.saturated = True
            front.acceptor.resume()
            for _ in range(6):
                front.connect()
            for expected in taken:
                clock.now += PATIENCE_S
                front.executor.finished += 1
                front.made.turn()
                front.acceptor.yield_when_saturated()
                front.acceptor.yield_when_saturated()
                assert front.listener.accepted == expected
        finally:
            front.close()


@pytest.mark.parametrize(
    ("alone", "behind_s", "maximum", "taken"),
    [(True, 0.001, 20, 4), (True, 0.0, 20, 1), (False, 0.001, 20, 1), (True, 0.001, 3, 3)],
    ids=["alone", "it slept", "with siblings", "no room for more"],
)
def test_new_connections_at_once(alone: bool, behind_s: float, maximum: int, taken: int) -> None:
    with station(hello, clock=FakeClock(), maximum=maximum) as made:
        front = Front(made, 4, alone)
        try:
            front.acceptor.resume()
            for _ in range(6):
                front.connect()
            made.loop.behind_s = behind_s
            front.acceptor._callback(next(iter(front.acceptor._doors.values())))(1)
            made.loop._deferred.popleft()()
            assert front.listener.accepted == taken
        finally:
            front.close()


def test_no_more_new_connections_at_once_than_threads_are_free() -> None:
    with station(hello, clock=FakeClock()) as made:
        front = Front(made, 4, alone=True)
        receive = front.receive

        def receive_and_fill(sock: socket.socket, peer: object) -> None:
            receive(sock, peer)
            front.executor.saturated = front.listener.accepted == 2

        front.acceptor._doors = {
            fd: Door(door.sock, receive_and_fill) for fd, door in front.acceptor._doors.items()
        }
        try:
            front.acceptor.resume()
            for _ in range(6):
                front.connect()
            made.loop.behind_s = 0.001
            front.acceptor._callback(next(iter(front.acceptor._doors.values())))(1)
            made.loop._deferred.popleft()()
            assert front.listener.accepted == 2
        finally:
            front.close()
