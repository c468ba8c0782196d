"""Many clients at once, cut into pieces at random, some of them leaving in the middle: every answer is right, nothing is left."""

from __future__ import annotations

import gc
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefork.worker.connection import Connection
from prefork.worker.connections import TimeLimits
from support.deadline import Deadline
from support.serving import Station, station
from support.wire import parse_answers

Start = Callable[..., Any]

CLIENTS = 12
ROUNDS = 25
TIMES = TimeLimits(header_s=60.0, body_s=60.0, write_s=60.0, keepalive_s=60.0)


def app(environ: dict[str, Any], start_response: Start) -> Any:
    """Answers `/kind/number` with the number and the length of the body, in one of several ways."""
    _, kind, number = environ["PATH_INFO"].split("/")
    content = f"{number}:{len(environ['wsgi.input'].read())};".encode()
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if kind == "write":
        write(content)
        return [content]
    if kind == "stream":
        return iter([content] * 200)
    if kind == "large":
        return [content * 20_000]
    return [content]


def expected(kind: str, number: int, size: int) -> bytes:
    content = f"{number}:{size};".encode()
    return content * {"write": 2, "stream": 200, "large": 20_000, "plain": 1}[kind]


def one_connection(rng: random.Random, connect: Callable[[], socket.socket]) -> None:
    """Some requests over one connection, pipelined or not, whole or in pieces; all answers are checked, or it leaves early."""
    requests, wanted, methods = [], [], []
    count = rng.randint(1, 5)
    for at in range(count):
        kind = rng.choice(["plain", "plain", "write", "stream", "large"])
        number, size = rng.randrange(10**6), rng.choice([0, 0, 10, 3000])
        close = "Connection: close\r\n" if at == count - 1 else ""
        head = f"GET /{kind}/{number} HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n{close}\r\n"
        requests.append(head.encode() + b"b" * size)
        wanted.append(expected(kind, number, size))
        methods.append("GET")
    raw = b"".join(requests)
    leaves = rng.random() < 0.3
    with connect() as sock:
        received = b""
        sent = 0
        deadline = Deadline()
        while True:
            assert not deadline.passed, (len(received), sent, len(raw))
            if sent < len(raw):
                piece = raw[sent : sent + rng.choice([1, 7, 100, 5000, len(raw)])]
                sock.settimeout(0.005)
                try:
                    sent += sock.send(piece)
                except TimeoutError:
                    pass
            if leaves and rng.random() < 0.1:
                return
            sock.settimeout(0.0 if sent < len(raw) else 0.2)
            try:
                data = sock.recv(rng.choice([10, 1000, 65536]))
            except (BlockingIOError, TimeoutError):
                continue
            if not data:
                break
            received += data
    answers = parse_answers(received, *methods)
    assert [answer.body for answer in answers] == wanted


@pytest.mark.parametrize("threads", [1, 4])
def test_every_answer_is_right_and_nothing_is_left(threads: int) -> None:
    others = connection_objects()  # of other tests, alive for reasons of their own
    before = len(list(Path("/proc/self/fd").iterdir()))
    seed = random.randrange(10**9)
    failures: list[BaseException] = []
    with station(app, threads=threads, times=TIMES) as made:
        over = drive(made, seed, failures)
        made.until(over, "the end of all connections")
        made.settle()
        assert not failures, (seed, failures[:3])
        assert made.log.events == [], seed
        assert made.loop._wheel._buckets == {}
        assert len(made.loop._callbacks) == 1  # its own
    del made, over
    assert [left for left in connection_objects() if not any(left is other for other in others)] == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def connection_objects() -> list[Connection]:
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) is Connection]


def drive(made: Station, seed: int, failures: list[BaseException]) -> Callable[[], bool]:
    """Starts the clients, each in a thread; they connect in the loop's turns."""
    on_their_way: list[socket.socket] = []

    def connect() -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)

        def accept() -> None:
            made.connections.open(theirs, ("127.0.0.1", 1), dict(made.base, REMOTE_ADDR="127.0.0.1"))
            on_their_way.remove(theirs)

        # A client may leave, and its thread end, before the loop has accepted it.
        on_their_way.append(theirs)
        made.loop.post(accept)
        return ours

    def live(number: int) -> None:
        rng = random.Random(seed + number)
        try:
            for _ in range(ROUNDS):
                one_connection(rng, connect)
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failures.append(error)

    clients = [threading.Thread(target=live, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    return lambda: not (any(client.is_alive() for client in clients) or on_their_way or len(made.connections))


def test_the_application_sees_no_two_requests_of_one_connection_at_once() -> None:
    running: set[str] = set()
    overlaps: list[str] = []

    def exclusive(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        name = environ["REMOTE_PORT"]
        if name in running:
            overlaps.append(name)
        running.add(name)
        start_response("200 OK", [])
        yield b"a" * 100
        yield b"b" * 100
        running.discard(name)

    with station(exclusive, threads=4) as made:
        raw = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
        clients = [made.connect(raw * 50) for _ in range(8)]
        made.until(lambda: all(c.read_some().count(b"HTTP/1.1 200") == 50 for c in clients), "all answers")
        made.settle()
        assert overlaps == []
        for client in clients:
            parse_answers(client.read_some(), *["GET"] * 50, closed=False)
