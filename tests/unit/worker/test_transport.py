"""TLS that looks like a socket: nothing hidden inside after `recv`, nothing claimed by `send` that is not out.

Everything holds with the ordinary steps in Python, and in C where there is a compiled twin.
"""

from __future__ import annotations

import functools
import gc
import os
import random
import select
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork.net.material import Credential, Material
from prefork.net.tls import server_context
from prefork.speedups import tls
from prefork.worker.tls_records import CHUNK_BYTES, RecordsInPython
from prefork.worker.tls_transport import MAX_UNSENT, TURN_BYTES, Connected, TlsTransport
from prefork.worker.transport import send_file
from support.certificates import Authority, Pair
from support.serving import readable


class TransportInPython(Connected, RecordsInPython):
    """As `TlsTransport` is without a compiler."""

    __slots__ = ("_failed", "_sock", "object")


TRANSPORTS = [TransportInPython] if tls is None else [TransportInPython, TlsTransport]

SMALL = 4096
"""Of the socket's buffers, in bytes; the kernel doubles it (socket(7))."""


class Link:
    """A server's transport, and a client whose every step is the test's."""

    transport: type[Connected]
    """The server's; see the fixture of this name."""

    def __init__(
        self, authority: Authority, *, small: bool = False, version: ssl.TLSVersion | None = None
    ) -> None:
        pair = signed(authority)
        material = Material(credentials=(Credential(pair.certificate.read_bytes(), pair.key.read_bytes()),))
        ours, self.sock = socket.socketpair()
        for sock in (ours, self.sock):
            sock.setblocking(False)
            if small:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        self.server_sock = ours
        self.server = self.transport(ours, server_context(material))
        context = ssl.create_default_context(cafile=str(authority.root.certificate))
        if version is not None:
            context.maximum_version = version
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self.incoming, self.outgoing, server_hostname="shop.example")

    def shake_hands(self, *, early: bytes = b"") -> Link:
        """Both sides, until the server says it is done. `early` goes out together with the client's last flight."""
        done = client_done = False
        while not done:
            if not client_done:
                try:
                    self.client.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                else:
                    client_done = True
                    if early:
                        self.client.write(early)
            self.transmit()
            try:
                received = self.server_sock.recv(1 << 20)
            except BlockingIOError:
                received = b""
            done = self.server.handshake(received)
            self.receive()
        return self

    def transmit(self) -> None:
        while data := self.outgoing.read():
            self.sock.sendall(data)

    def receive(self) -> None:
        """What is in the socket goes into the client; the end of the stream, too."""
        while readable(self.sock):
            data = self.sock.recv(1 << 20)
            if not data:
                self.incoming.write_eof()
                return
            self.incoming.write(data)

    def send(self, data: bytes) -> None:
        """All of it, from the client."""
        self.client.write(data)
        self.transmit()

    def read(self) -> bytes:
        """What the client can decrypt of what has come."""
        self.receive()
        pieces = []
        try:
            while piece := self.client.read(1 << 16):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces)

    def close(self) -> None:
        self.server_sock.close()
        self.sock.close()


@functools.cache
def signed(authority: Authority) -> Pair:
    """The server's certificate."""
    return authority.sign("shop", "shop.example")


@pytest.fixture(
    params=TRANSPORTS, ids=lambda each: "python" if each is TransportInPython else "c", autouse=True
)
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Connected]:
    """The class of `Link.server`."""
    monkeypatch.setattr(Link, "transport", request.param, raising=False)
    chosen: type[Connected] = request.param
    return chosen


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def links(authority: Authority) -> Iterator[list[Link]]:
    made: list[Link] = []
    yield made
    for link in made:
        link.close()


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def link(authority: Authority, links: list[Link], request: pytest.FixtureRequest) -> Link:
    links.append(Link(authority, version=request.param).shake_hands())
    return links[-1]


@pytest.fixture
def narrow(authority: Authority, links: list[Link]) -> Link:
    """A link that takes little at once."""
    links.append(Link(authority, small=True).shake_hands())
    return links[-1]


def test_there_and_back(link: Link) -> None:
    link.send(b"GET")
    assert link.server.recv(65536) == b"GET"
    assert link.server.send(b"200") == 3
    assert link.read() == b"200"


def test_nothing_is_hidden_after_recv(link: Link) -> None:
    """epoll knows the socket only: what OpenSSL has decrypted and nobody has read would wait for ever."""
    data = os.urandom(50_000)
    link.send(data)
    assert link.server.recv(65536) == data
    assert not readable(link.server_sock)
    with pytest.raises(BlockingIOError):
        link.server.recv(65536)


@pytest.mark.parametrize("seed", range(6))
def test_each_record_is_given_with_its_last_byte(link: Link, seed: int) -> None:
    """However they are cut: not before it is whole, and not only with the next."""
    chance = random.Random(seed)
    stream = b""
    whole: dict[int, bytes] = {}  # where in the stream a record ends: its plaintext
    for _ in range(30):
        data = os.urandom(chance.choice([1, 2, 100, 16_383, 16_384]))
        link.client.write(data)
        stream += link.outgoing.read()
        whole[len(stream)] = data
    at = 0
    while at < len(stream):
        size = chance.choice([1, 5, 6, 150, 16_000, 40_000])
        link.sock.send(stream[at : at + size])
        expected = b"".join(whole.pop(end) for end in list(whole) if end <= at + size)
        at += size
        try:
            assert link.server.recv(65536) == expected
        except BlockingIOError:
            assert not expected
    assert not whole


def test_no_read_finds_nothing_behind_a_whole_record(link: Link) -> None:
    """It would cost an exception, more than all the rest."""
    outcomes: list[object] = []
    decrypt = link.server._decrypt

    def watched(size: int) -> bytes:
        outcomes.append("nothing")
        outcomes[-1] = data = decrypt(size)
        return data

    link.server._decrypt = watched
    link.send(b"one")
    assert link.server.recv(65536) == b"one"
    link.send(b"two")
    link.send(b"three")
    assert link.server.recv(65536) == b"twothree"
    assert outcomes == [b"one", b"two", b"three"]


def test_part_of_a_record_is_not_there_yet(link: Link) -> None:
    link.client.write(b"hello")
    record = link.outgoing.read()
    for byte in record[:-1]:
        link.sock.send(bytes([byte]))
        with pytest.raises(BlockingIOError):
            link.server.recv(65536)
    link.sock.send(record[-1:])
    assert link.server.recv(65536) == b"hello"


def test_what_comes_with_the_handshake_is_read_without_the_socket(
    authority: Authority, links: list[Link]
) -> None:
    links.append(Link(authority).shake_hands(early=b"GET / HTTP/1.1"))
    assert not readable(links[0].server_sock)
    assert links[0].server.recv(65536) == b"GET / HTTP/1.1"


@pytest.mark.parametrize("seed", range(6))
def test_a_slow_reader_gets_every_byte_once(narrow: Link, seed: int) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(700_000)
    view, received, blocked = memoryview(data), b"", 0
    while view:
        piece = view[: chance.choice([1, 2, 100, 20_000, 300_000])]
        try:
            sent = narrow.server.send(piece)
        except BlockingIOError:
            blocked += 1
            assert not select.select([], [narrow.server_sock], [], 0)[1] or not narrow.server.waits_to_send
            received += narrow.read()
        else:
            assert 0 < sent <= len(piece)
            view = view[sent:]
    # All was reported as sent: then all is with the kernel.
    assert not narrow.server.waits_to_send
    assert received + narrow.read() == data
    assert blocked


def test_a_single_byte_that_does_not_fit_is_not_reported(narrow: Link) -> None:
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += narrow.server.send(b"x")
    received = narrow.read()
    while not received.endswith(b"y"):
        try:
            sent += narrow.server.send(b"x")
            sent += narrow.server.send(b"y")
        except BlockingIOError:
            pass
        received += narrow.read()
    assert len(received) == sent


def test_one_call_has_a_bound(link: Link) -> None:
    class Bottomless:
        def send(self, data: memoryview) -> int:
            return len(data)

    link.server._sock = Bottomless()  # type: ignore[assignment]
    assert link.server.send(bytes(3 * TURN_BYTES)) == TURN_BYTES
    link.server._sock = link.server_sock


def test_pieces_go_out_as_one(link: Link) -> None:
    assert link.server.sendmsg((b"head", b"", b"body")) == 8
    link.receive()
    assert link.client.read(100) == b"headbody"


def test_files_are_read(narrow: Link, tmp_path: Path) -> None:
    file = tmp_path / "file"
    data = os.urandom(300_000)
    file.write_bytes(data)
    received, offset = b"", 100
    with file.open("rb") as opened:
        while offset < len(data):
            try:
                offset += send_file(narrow.server, opened.fileno(), offset, 100_000)
            except BlockingIOError:
                received += narrow.read()
        assert send_file(narrow.server, opened.fileno(), offset, 1) == 0
    assert received + narrow.read() == data[100:]


def test_sendfile_is_used_without_tls(tmp_path: Path) -> None:
    one, two = socket.socketpair()
    with one, two, (tmp_path / "file").open("wb+", buffering=0) as file:
        file.write(b"0123456789")
        assert send_file(one, file.fileno(), 2, 5) == 5
        assert two.recv(100) == b"23456"


# Ends -------------------------------------------------------------------------------------------------------------


def test_the_clients_goodbye_is_an_end(link: Link) -> None:
    link.client.write(b"last words")
    with pytest.raises(ssl.SSLWantReadError):
        link.client.unwrap()
    link.transmit()
    assert link.server.recv(65536) == b"last words"
    assert readable(link.server_sock)  # epoll says so, though the client keeps its socket open
    assert link.server.recv(65536) == b""
    assert link.server.send(b"answer") == 6
    assert link.read() == b"answer"


def test_an_end_without_goodbye_is_an_end(link: Link) -> None:
    link.sock.shutdown(socket.SHUT_WR)
    assert link.server.recv(65536) == b""


def test_our_goodbye_reaches_the_client(link: Link) -> None:
    link.server.send(b"bye")
    link.server.shutdown(socket.SHUT_WR)
    assert link.read() == b"bye"
    assert link.client.read(1) == b""  # SSLEOFError without close_notify
    link.send(b"more")
    assert link.server.recv(65536)  # to be thrown away, so it is not even decrypted
    link.server.close()


def test_close_says_goodbye(link: Link) -> None:
    link.server.close()
    link.receive()
    assert link.client.read(1) == b""


def test_a_response_cut_short_ends_without_goodbye(narrow: Link) -> None:
    with pytest.raises(BlockingIOError):
        while True:
            narrow.server.send(bytes(1000))
    narrow.server.close()
    with pytest.raises(ssl.SSLEOFError):
        while narrow.read():
            pass


def test_damage_ends_the_connection_with_an_alert(link: Link) -> None:
    link.client.write(b"hello")
    record = bytearray(link.outgoing.read())
    record[-1] ^= 1
    link.sock.send(record)
    with pytest.raises(OSError, match=r"(?i)bad record|decryption"):
        link.server.recv(65536)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        link.read()


def test_a_client_that_is_gone(link: Link) -> None:
    link.sock.close()
    with pytest.raises(OSError, match=r"Broken pipe"):
        link.server.send(b"hello")
    link.server.close()


def test_a_client_cannot_start_the_handshake_again(authority: Authority, links: list[Link]) -> None:
    """TLS 1.2: each would cost us a signature (CVE-2011-1473)."""
    links.append(Link(authority, version=ssl.TLSVersion.TLSv1_2).shake_hands())
    assert links[0].server.object.context.options & ssl.OP_NO_RENEGOTIATION


def test_a_closed_transport_touches_no_descriptor(link: Link) -> None:
    """Its number may be somebody else's by now."""
    one, two = socket.socketpair()
    with one, two:
        number = link.server.fileno()
        link.server.close()
        two.send(b"not yours")
        try:
            os.dup2(one.fileno(), number)
            with pytest.raises(OSError, match="Bad file descriptor"):
                link.server.recv(1)
            with pytest.raises(OSError):  # from OpenSSL already
                link.server.send(b"x")
        finally:
            os.close(number)
        assert one.recv(100) == b"not yours"
        assert not readable(two)


def test_what_is_no_bytes_is_refused(link: Link) -> None:
    for wrong in (7, "text", None):
        with pytest.raises(TypeError):
            link.server.send(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            link.server.recv(str(wrong))  # type: ignore[arg-type]
    assert link.server.send(b"") == 0
    link.send(b"still there")
    assert link.server.recv(65536) == b"still there"


def test_what_is_asked_of_others_and_fails_is_an_error(link: Link) -> None:
    def fails(_argument: object) -> int:
        raise MemoryError

    link.server._encrypt = fails
    with pytest.raises(MemoryError):
        link.server.send(b"x")
    link.server._decrypt = fails  # type: ignore[assignment]
    link.send(b"x")
    with pytest.raises(MemoryError):
        link.server.recv(65536)


def test_nothing_leaks(link: Link) -> None:
    answer = bytes(CHUNK_BYTES)

    def everything_once() -> None:
        link.client.write(b"one")
        half = link.outgoing.read()
        link.sock.send(half[:9])
        for _ in range(2):
            with pytest.raises(BlockingIOError):
                link.server.recv(65536)
        link.sock.send(half[9:])
        assert link.server.recv(65536) == b"one"
        link.send(b"two")
        link.send(b"three")
        assert link.server.recv(65536) == b"twothree"
        assert link.server.send(b"short") == 5
        received = link.read()
        sent = link.server.send(answer)
        received += link.read()
        while sent < len(answer):
            sent += link.server.send(answer[sent:])
            received += link.read()
        assert received == b"short" + answer

    for _ in range(10):
        everything_once()
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in range(200):
        everything_once()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 100  # half an object a turn would be a leak


def test_a_server_without_tls_does_not_load_it() -> None:
    """Two megabytes in each process."""
    rooms = "prefork.cli, prefork.master, prefork.master.resources, prefork.zygote.main, prefork.worker.main"
    subprocess.run(
        [sys.executable, "-c", f"import sys, {rooms}; assert 'ssl' not in sys.modules"], check=True
    )


def test_a_peer_that_makes_us_answer_and_does_not_read_is_left(narrow: Link) -> None:
    """Key updates for ever, say: each has an answer."""
    with pytest.raises(BlockingIOError):
        while True:
            narrow.server.send(bytes(1000))
    narrow.server._outgoing.write(bytes(MAX_UNSENT))
    narrow.send(b"x")
    with pytest.raises(ConnectionAbortedError):
        narrow.server.recv(65536)


def test_the_bound_on_what_waits_is_above_what_one_send_can_leave() -> None:
    assert MAX_UNSENT > 64 * 1024 + 4 * 64
