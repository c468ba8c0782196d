"""Leaving: draining, the backlog, the fast stop, the death of the master, SIGTERM."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefork.ipc.channel import Channel, ChannelError
from prefork.ipc.messages import Drain, ReopenLogs, Stop
from prefork.worker.acceptor import Acceptor, Door
from prefork.worker.connection import Phase
from prefork.worker.departure import GRACE_S, LINGER_S, Departure, on_terminate
from prefork.wsgi.environ import connection_environ
from support.serving import FakeClock, Station, hello, station
from support.wire import parse_answer

Start = Callable[..., Any]
GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


class Post:
    """A worker's departure, with the master's end of its channel and one listener."""

    def __init__(self, made: Station) -> None:
        self.made = made
        self.master, worker = Channel.pair()
        self.worker = worker
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        executor: Any = made.executor
        log: Any = made.log
        self.acceptor = Acceptor(
            made.loop,
            [Door(self.listener, self.receive)],
            made.connections,
            executor,
            lambda: made.executor.tell_when_free(),  # type: ignore[union-attr]
            made.log,
        )
        self.acceptor.resume()
        self.departure = Departure(made.loop, worker, self.acceptor, made.connections, executor, log)
        self.ended = False
        self.clients: list[socket.socket] = []

    def receive(self, sock: socket.socket, peer: object) -> None:
        self.made.connections.open(sock, peer, connection_environ(self.made.base, peer))

    def connect(self, raw: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.listener.getsockname()[:2], timeout=30)
        self.clients.append(client)
        if raw:
            client.sendall(raw)
        return client

    def turn(self) -> None:
        """A turn as `main` does it; sees whether the worker ends."""
        loop = self.made.loop

        def on_turn() -> None:
            try:
                self.departure.check()
            finally:
                self.ended = self.ended or not loop._running
                loop.stop()

        loop.post(lambda: None)
        loop.run(on_turn)

    def until(self, condition: Callable[[], object], what: str) -> None:
        def turn_and_look() -> object:
            self.turn()
            return condition()

        self.made.until(turn_and_look, what)

    def close(self) -> None:
        self.acceptor.leave()
        for client in self.clients:
            client.close()
        self.listener.close()
        self.master.close()
        self.worker.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[1, 3], ids=["inline", "threads"])
def post(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Post]:
    with station(hello, clock=clock, threads=request.param) as made:
        post = Post(made)
        yield post
        post.close()


def read_all(post: Post, client: socket.socket) -> bytes:
    """What the client gets until its connection ends."""
    received = b""
    # Not by MSG_DONTWAIT: a socket with a time limit is polled first, whatever the flags say, and meanwhile nobody turns.
    client.setblocking(False)

    def ended() -> bool:
        nonlocal received
        try:
            data = client.recv(65536)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        received += data
        return not data

    post.until(ended, "the end of a connection")
    return received


def test_nobody_asked(post: Post) -> None:
    for _ in range(5):
        post.turn()
    assert not post.ended
    assert post.departure.reason == ""


def test_drain_without_connections(post: Post) -> None:
    post.master.send(Drain(reason="reload"))
    post.until(lambda: post.ended, "the end")
    assert post.departure.reason == "reload"


def test_drain_answers_the_next_request_of_each_connection_and_says_close(
    post: Post, clock: FakeClock
) -> None:
    client = post.connect(GET)
    post.until(lambda: [c.phase for c in post.made.members] == [Phase.IDLE], "an idle connection")
    assert b"Connection: close" not in client.recv(1000)
    post.master.send(Drain(reason="reload"))
    post.until(lambda: post.departure.reason, "draining")
    post.turn()
    assert not post.ended  # an idle connection is not cut: its next request may be on its way
    client.sendall(GET)
    answer = parse_answer(read_all(post, client))
    assert (answer.status, answer.one("connection")) == (200, b"close")
    client.close()
    post.until(lambda: post.ended, "the end")


@pytest.mark.parametrize("raw", [b"", GET], ids=["fresh", "idle"])
def test_drain_ends_silent_connections_by_their_time_limit(post: Post, clock: FakeClock, raw: bytes) -> None:
    post.connect(raw)
    wanted = Phase.IDLE if raw else Phase.FRESH
    post.until(lambda: [c.phase for c in post.made.members] == [wanted], "the connection")
    post.master.send(Drain(reason="reload"))
    post.until(lambda: post.departure.reason, "draining")
    clock.now += 4.9
    post.turn()
    assert not post.ended
    clock.now += 1.2
    post.until(lambda: post.ended, "the end")


def test_drain_answers_the_backlog(post: Post, clock: FakeClock) -> None:
    clients = [post.connect(GET) for _ in range(8)]
    post.master.send(Drain(reason="stop", backlog=[post.listener.fileno()]))
    for client in clients:
        answer = parse_answer(read_all(post, client))
        assert (answer.status, answer.one("connection")) == (200, b"close")
        client.close()
    assert not post.ended or not len(post.made.connections)
    post.until(lambda: post.ended, "the end")
    assert post.made.connections.requests == 8


def test_drain_takes_what_comes_into_the_backlog_meanwhile(post: Post) -> None:
    first = post.connect(b"GET / HT")
    post.until(lambda: [c.phase for c in post.made.members] == [Phase.HEAD], "half a request")
    post.master.send(Drain(reason="stop", backlog=[post.listener.fileno()]))
    post.until(lambda: post.departure.reason, "draining")
    late = post.connect(GET)
    first.sendall(b"TP/1.1\r\nHost: t\r\n\r\n")
    assert parse_answer(read_all(post, first)).status == 200
    first.close()
    assert parse_answer(read_all(post, late)).status == 200
    late.close()
    post.until(lambda: post.ended, "the end")


def test_a_stop_that_takes_long_refuses_newcomers_instead_of_keeping_them_waiting(
    post: Post, clock: FakeClock
) -> None:
    first = post.connect(b"GET / HT")
    post.until(lambda: [c.phase for c in post.made.members] == [Phase.HEAD], "half a request")
    listener = post.listener.fileno()
    post.master.send(Drain(reason="stop", backlog=[listener], ending=[listener]))
    post.until(lambda: post.departure.reason, "draining")
    on_the_way = post.connect(GET)
    assert parse_answer(read_all(post, on_the_way)).status == 200, (
        "it is not kept waiting for the first either"
    )
    on_the_way.close()
    address = post.listener.getsockname()
    clock.now += LINGER_S + 1
    post.until(lambda: post.listener.fileno() < 0, "the end of the listener")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    assert not post.ended
    first.sendall(b"TP/1.1\r\nHost: t\r\n\r\n")
    assert parse_answer(read_all(post, first)).status == 200
    first.close()
    post.until(lambda: post.ended, "the end")


def test_a_listener_that_another_worker_has_shut_down_is_left_alone(post: Post, clock: FakeClock) -> None:
    post.connect(b"GET / HT")
    post.until(lambda: [c.phase for c in post.made.members] == [Phase.HEAD], "half a request")
    listener = post.listener.fileno()
    post.master.send(Drain(reason="stop", backlog=[listener], ending=[listener]))
    post.until(lambda: post.departure.reason, "draining")
    post.listener.shutdown(socket.SHUT_RD)
    for _ in range(3):
        post.turn()
    clock.now += LINGER_S + 1
    post.turn()
    assert not post.ended


def test_drain_leaves_the_listeners(post: Post) -> None:
    post.connect(b"GET /")
    post.until(lambda: len(post.made.connections) == 1, "the connection")
    post.master.send(Drain(reason="reload"))
    post.until(lambda: post.departure.reason, "draining")
    post.connect(GET)
    for _ in range(5):
        post.turn()
    assert len(post.made.connections) == 1


def test_a_second_drain_changes_nothing(post: Post) -> None:
    post.connect(GET)
    post.until(lambda: post.made.connections.requests, "a request")
    post.departure.drain("first")
    post.departure.drain("second")
    assert post.departure.reason == "first"


def test_stop_closes_idle_connections(post: Post) -> None:
    clients = [post.connect(GET), post.connect()]
    post.until(lambda: post.made.connections.requests and len(post.made.connections) == 2, "connections")
    post.made.settle()
    post.master.send(Stop(reason="stop"))
    post.until(lambda: post.ended, "the end")
    assert post.departure.reason == "stop"
    assert read_all(post, clients[1]) == b""


def test_stop_waits_for_a_slow_reader_but_not_for_long(clock: FakeClock) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [])
        return iter([b"x" * 100_000] * 1000)

    with station(app, clock=clock) as made:
        post = Post(made)
        slow = made.connect(GET, sndbuf=1)
        assert slow.connection is not None
        post.departure.drain("first")
        post.master.send(Stop(reason="hurry"))
        for _ in range(5):
            post.turn()
        assert not post.ended
        assert slow.connection.phase is Phase.FLUSH
        clock.now += GRACE_S + 1.1
        post.turn()
        assert post.ended
        assert post.departure.reason == "hurry"
        post.close()


def test_the_grace_begins_when_the_message_is_read(clock: FakeClock) -> None:
    # With threads = 1 the application may have held the turn in which the message came.
    def app(environ: dict[str, Any], start_response: Start) -> Any:
        start_response("200 OK", [])
        return iter([b"x" * 100_000] * 1000)

    with station(app, clock=clock) as made:
        post = Post(made)
        made.connect(GET, sndbuf=1)
        clock.now += 20.0
        post.departure.stop("hurry")
        clock.now += GRACE_S - 0.1
        post.turn()
        assert not post.ended
        post.close()


def test_the_end_of_the_channel_is_the_death_of_the_master(post: Post) -> None:
    post.connect()
    post.until(lambda: len(post.made.connections) == 1, "a connection")
    post.master.close()
    post.until(lambda: post.ended, "the end")
    assert post.departure.reason == "master_died"


def test_a_message_that_was_lost_drains(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    # Out of descriptors, fresh log files cannot be received: the requests that run are not to be cut for that.
    client = post.connect(GET)
    post.until(lambda: [c.phase for c in post.made.members] == [Phase.IDLE], "an idle connection")
    client.recv(1000)

    def broken(self: Channel) -> None:
        raise ChannelError("descriptors of a packet were lost")

    with monkeypatch.context() as patch:
        patch.setattr(Channel, "receive", broken)
        post.master.send(Drain(reason="x"))
        post.turn()
    assert post.departure.reason == "channel_broken"
    assert not post.ended
    client.sendall(GET)
    assert parse_answer(read_all(post, client)).status == 200
    client.close()
    post.until(lambda: post.ended, "the end")


def test_logs_are_reopened(post: Post, tmp_path: Any) -> None:
    with open(tmp_path / "old", "wb") as target, open(tmp_path / "new", "wb") as fresh:
        before = len(list(Path("/proc/self/fd").iterdir()))
        assert post.master.send(ReopenLogs(targets=[target.fileno()]), [fresh.fileno(), fresh.fileno()])
        post.until(
            lambda: os.fstat(target.fileno()).st_ino == os.fstat(fresh.fileno()).st_ino, "the new file"
        )
        assert not os.get_inheritable(target.fileno())
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not post.ended


def test_sigterm_from_a_living_master_drains(post: Post) -> None:
    hard: list[float] = []
    on_terminate(post.made.loop, post.departure, os.getppid(), hard.append)
    post.until(lambda: post.ended, "the end")
    assert post.departure.reason == "signal"
    assert hard == []


def test_sigterm_after_the_master_died_stops_whatever_runs(post: Post) -> None:
    hard: list[float] = []
    on_terminate(post.made.loop, post.departure, 1 if os.getppid() != 1 else 2, hard.append)
    assert hard == [GRACE_S]
    post.until(lambda: post.ended, "the end")
    assert post.departure.reason == "master_died"
