"""Large bodies that the application reads from the kernel: the same requests, answers and time limits as ever."""

from __future__ import annotations

import hashlib
import random
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefork.worker import kept
from prefork.worker.connection import Phase
from prefork.worker.kept import MOMENT_S, Keeper, Kept
from prefork.worker.takeover import Claim
from prefork.wsgi.chunks import CHUNK_BYTES, ChunkPool
from prefork.wsgi.input import BodyError, SpooledBody
from support.serving import TIMES, Client, FakeClock, Station, station, tcp_pair
from support.wire import parse_answer

CONTENT = random.Random(1).randbytes(1_500_000)
SUM = hashlib.sha256(CONTENT).hexdigest().encode()
HEAD = b"POST /%d HTTP/1.1\r\nHost: t\r\nContent-Length: 1500000\r\n\r\n"

Start = Callable[..., Any]


def can() -> bool:
    """Whether this kernel lets TCP be read without taking (since Linux 6.9)."""
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, kept._SO_PEEK_OFF, 0)
        except OSError:
            return False
    return True


needs_peeking = pytest.mark.skipif(not can(), reason="this kernel has no SO_PEEK_OFF for TCP")


@pytest.fixture(params=[1, 3], ids=["inline", "threads"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much was left to be read from the kernel, of each body for which that was so."""
    found: list[int] = []
    original = Kept.hand_over

    def hand_over(self: Kept, claim: Callable[[], Claim | None]) -> None:
        found.append(self.left)
        original(self, claim)

    monkeypatch.setattr(Kept, "hand_over", hand_over)
    return found


def digest(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    summed, length = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(100_000):
        summed.update(piece)
        length += len(piece)
    return [environ["PATH_INFO"].encode(), b" %d " % length, summed.hexdigest().encode()]


def upload(client: Client, made: Station, number: int, pool: ChunkPool) -> bytes:
    """Sends from a thread, for the socket may not take all of it."""
    sender = threading.Thread(target=client.sock.sendall, args=(HEAD % number + CONTENT,))
    sender.start()
    try:
        return parse_answer(client.ask(b""), closed=False).body
    finally:
        made.until(lambda: not sender.is_alive(), "all is sent")
        sender.join()
        made.until(lambda: not pool.out, "nobody has memory")
        assert pool.promise(50 * CHUNK_BYTES)  # and nothing is promised


def with_pool(made: Station) -> ChunkPool:
    pool = made.connections.chunks = ChunkPool(lambda: 100 * CHUNK_BYTES)
    return pool


@needs_peeking
def test_every_byte_in_its_place(threads: int, handed_over: list[int]) -> None:
    with station(digest, threads=threads) as made:
        pool = with_pool(made)
        client = made.connect(tcp=True)
        for number in range(5):
            assert upload(client, made, number, pool) == b"/%d 1500000 %s" % (number, SUM)
        assert handed_over
        assert made.access.entries[0].bytes_in == len(CONTENT)


@needs_peeking
@pytest.mark.parametrize("taken", [0, 10, 700_000])
def test_what_the_application_leaves_is_dropped(threads: int, taken: int, handed_over: list[int]) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode() + environ["wsgi.input"].read(taken)]

    with station(app, threads=threads) as made:
        pool = with_pool(made)
        client = made.connect(tcp=True)
        for number in range(4):
            assert upload(client, made, number, pool) == b"/%d" % number + CONTENT[:taken]
        assert handed_over


@needs_peeking
def test_it_can_be_read_again(handed_over: list[int]) -> None:
    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        stream = environ["wsgi.input"]
        assert stream.read() == CONTENT
        stream.seek(1_000_000)
        assert stream.read(200_000) == CONTENT[1_000_000:1_200_000]
        stream.seek(0)
        return [hashlib.sha256(stream.read()).hexdigest().encode()]

    with station(app) as made:
        pool = with_pool(made)
        client = made.connect(tcp=True)
        for number in range(3):
            assert upload(client, made, number, pool) == SUM
        assert handed_over


@needs_peeking
def test_a_request_behind_the_body(threads: int, handed_over: list[int]) -> None:
    """Which is in the socket together with it."""
    with station(digest, threads=threads) as made:
        pool = with_pool(made)
        client = made.connect(tcp=True)
        upload(client, made, 0, pool)  # so that the window is open
        second = b"GET /second HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        sender = threading.Thread(target=client.sock.sendall, args=(HEAD % 1 + CONTENT + second,))
        sender.start()
        answers = client.read_to_end()
        sender.join()
        assert b"/1 1500000 " + SUM in answers
        assert b"/second 0 " in answers
        assert handed_over


@needs_peeking
def test_after_the_request_nobody_reads_it(handed_over: list[int]) -> None:
    streams: list[Any] = []

    def app(environ: dict[str, Any], start_response: Start) -> list[bytes]:
        streams.append(environ["wsgi.input"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    with station(app) as made:
        pool = with_pool(made)
        client = made.connect(tcp=True)
        for number in range(3):
            upload(client, made, number, pool)
        client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n123")
        for stream in streams:
            with pytest.raises(ValueError, match=r"ended|closed"):
                stream.read(CHUNK_BYTES)
        assert handed_over


@needs_peeking
def test_a_slow_reader_of_the_response(threads: int, handed_over: list[int]) -> None:
    """The response is not out at once: the rest of the body lies in the socket meanwhile."""

    def app(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        for _ in range(100):
            yield b"x" * 100_000

    with station(app, threads=threads) as made:
        with_pool(made)
        client = made.connect(tcp=True)
        sender = threading.Thread(target=client.sock.sendall, args=(HEAD % 1 + CONTENT,))
        sender.start()
        made.until(lambda: client.connection.phase is Phase.FLUSH, "a full socket")  # type: ignore[union-attr]
        sender.join()
        raw = client.ask(b"", 10_000_000)
        assert raw.count(b"x") >= 10_000_000
        made.until(lambda: client.connection.phase is Phase.IDLE, "rest")  # type: ignore[union-attr]
        client.received = b""
        assert b" 200 OK" in client.ask(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")


def test_time_limits_are_those_of_any_body(threads: int) -> None:
    clock = FakeClock()
    with station(digest, threads=threads, clock=clock) as made:
        pool = with_pool(made)
        client = made.connect(HEAD % 1 + CONTENT[:200_000], tcp=True)
        made.turn(3)
        clock.now += MOMENT_S + 1.5
        made.until(lambda: pool.out, "it comes the ordinary way")
        began = clock.now
        while clock.now < began + TIMES.body_s - 1:
            clock.now += 1
            made.turn()
            assert client.connection in made.members
            assert client.connection.phase is Phase.BODY
        clock.now += (
            MOMENT_S + 4
        )  # it may be left in the kernel a second time, and limits are looked at once a second
        made.until(lambda: b" 408 " in client.read_some(), "the refusal")
        client.close()
        made.until(lambda: not pool.out, "nobody has memory")


def test_a_body_that_takes_longer_than_a_moment(threads: int) -> None:
    clock = FakeClock()
    with station(digest, threads=threads, clock=clock) as made:
        with_pool(made)
        client = made.connect(HEAD % 1, tcp=True)
        for at in range(0, len(CONTENT), 100_000):
            client.send(CONTENT[at : at + 100_000])
            made.turn(2)
            clock.now += 0.7
        assert parse_answer(client.ask(b""), closed=False).body == b"/1 1500000 " + SUM


@pytest.mark.parametrize("sent", [0, 100_000, 1_400_000])
def test_a_client_that_goes_in_the_middle(sent: int) -> None:
    with station(digest) as made:
        pool = with_pool(made)
        client = made.connect(tcp=True)
        sender = threading.Thread(target=client.sock.sendall, args=(HEAD % 1 + CONTENT[:sent],))
        sender.start()
        made.turn(3)
        made.until(lambda: not sender.is_alive(), "all is sent")
        client.sock.shutdown(socket.SHUT_WR)
        assert b" 400 " in client.read_to_end()
        assert not pool.out
        assert pool.promise(50 * CHUNK_BYTES)


def test_without_memory_to_share_it_comes_the_ordinary_way(handed_over: list[int]) -> None:
    with station(digest) as made:
        pool = made.connections.chunks = ChunkPool(lambda: 0)
        client = made.connect(tcp=True)
        sender = threading.Thread(target=client.sock.sendall, args=(HEAD % 1 + CONTENT,))
        sender.start()
        assert parse_answer(client.ask(b""), closed=False).body == b"/1 1500000 " + SUM
        sender.join()
        assert not handed_over
        assert not pool.out


# The parts ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = tcp_pair()
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def body_of(chunks: int = 100) -> SpooledBody:
    return SpooledBody(1000, ChunkPool(lambda: chunks * CHUNK_BYTES))


def ready(ours: socket.socket, theirs: socket.socket, size: int = 50_000, behind: bytes = b"") -> Kept:
    found = Keeper().keep(theirs, body_of(), size)
    assert found is not None
    assert found.waiting
    assert not found.complete()
    ours.sendall(CONTENT[:size] + behind)
    made = select_until(theirs, found)
    made.hand_over(lambda: None)
    return made


def select_until(theirs: socket.socket, found: Kept) -> Kept:
    """Waits as the loop does."""
    poller = select.poll()
    poller.register(theirs, select.POLLIN)
    assert poller.poll(30_000)
    assert found.complete()
    return found


@needs_peeking
def test_an_interruption_loses_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    """It may come between any two byte codes: here after the kernel has given bytes, and before we know."""
    ours, theirs = pair
    found = ready(ours, theirs, behind=b"next")
    assert found.fetch(0, 1000) == CONTENT[:1000]
    found._peeked = -1
    theirs.recv(777, socket.MSG_PEEK)
    assert found.fetch(1000, 1000) == CONTENT[1000:2000]
    assert found.finish()
    assert theirs.recv(100) == b"next"


@needs_peeking
def test_the_loop_may_have_the_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    found = ready(ours, theirs)
    claim = Claim(None)  # type: ignore[arg-type]
    found._claim = lambda: claim
    assert found.fetch(0, 10) == CONTENT[:10]
    assert claim.revoke()
    with pytest.raises(BodyError, match="has been answered"):
        found.fetch(10, 10)


@needs_peeking
def test_a_reset_does_not_take_what_has_come(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    found = ready(ours, theirs)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ours.close()
    assert found.fetch(0, 50_000) == CONTENT[:50_000]
    found.finish()


@needs_peeking
def test_a_socket_that_is_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    found = ready(ours, theirs)
    theirs.close()
    with pytest.raises(BodyError, match="client has gone"):
        found.fetch(0, 10)
    assert not found.finish()


def test_unix_sockets_do_without() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert Keeper().keep(theirs, body_of(), 50_000) is None


def test_a_kernel_that_cannot(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked once."""
    monkeypatch.setattr(kept, "_SO_PEEK_OFF", 9999)
    keeper, body = Keeper(), body_of(2)
    assert keeper.keep(pair[1], body, 50_000) is None
    assert pair[1].getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
    assert body.promise(CHUNK_BYTES)  # nothing is promised
    body.withdraw()
    monkeypatch.undo()
    assert keeper.keep(pair[1], body, 50_000) is None


@needs_peeking
def test_more_than_the_kernel_has_room_for(pair: tuple[socket.socket, socket.socket]) -> None:
    theirs = pair[1]
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
    half = theirs.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    keeper = Keeper()
    assert keeper.keep(theirs, body_of(), half + 1) is None
    assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
    assert keeper.keep(theirs, body_of(), half) is not None


@needs_peeking
def test_what_came_in_many_small_pieces_is_not_read_from_there(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LOOSE", 0.5)  # how loose it is depends on the network card
    ours, theirs = pair
    found = Keeper().keep(theirs, body_of(), 50_000)
    assert found is not None
    ours.sendall(CONTENT[:50_000])
    assert select.select([theirs], [], [], 30)[0]
    assert not found.complete()
    found.stop()
    assert not found.wait(50_000)
