"""What comes before HTTP: headers of the PROXY protocol and handshakes, whole, in pieces, wrong, or never."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.net.material import Credential, Material
from prefork.net.proxy_protocol import SIGNATURE
from prefork.net.tls import server_context
from prefork.net.trust import TrustedPeers
from prefork.worker.reception import Reception
from support.certificates import Authority
from support.serving import FakeClock, Station, station
from support.wire import parse_answer

PEER = ("10.0.0.1", 50001)
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.2 56324 443\r\n"
V2 = SIGNATURE + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 198, 51, 100, 2, 0xDC, 0x04, 0x01, 0xBB])
LOCAL = SIGNATURE + b"\x20\0\0\0"
GET = b"GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n"
FROM_HEADER = ("192.0.2.7", "56324", "198.51.100.2", "443")


def mirror(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    texts = {key: value for key, value in environ.items() if isinstance(value, str)}
    return [json.dumps(texts).encode()]


class Desk:
    """A station with a listener that expects something before HTTP."""

    def __init__(self, made: Station, announcement: str, context: ssl.SSLContext | None) -> None:
        self.station = made
        trusted = TrustedPeers(["10.0.0.0/8"])
        self.reception = Reception(made.connections, made.base, context, announcement, trusted, "x-forwarded")
        self.clients: list[socket.socket] = []

    def connect(self, first: bytes = b"", peer: object = PEER) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.clients.append(ours)
        ours.setblocking(False)
        theirs.setblocking(False)
        if first:
            ours.sendall(first)
        self.reception.receive(theirs, peer)
        return ours

    def received(self, client: socket.socket, *, turns: int = 0) -> bytes:
        """Everything until the worker ends; with `turns`, what comes in so many turns."""
        received = b""
        ended = False

        def look() -> bool:
            nonlocal received, ended
            try:
                while data := client.recv(65536):
                    received += data
                ended = True
            except BlockingIOError:
                pass
            except ConnectionResetError:
                ended = True
            return ended

        if turns:
            self.station.turn(turns)
            look()
        else:
            self.station.until(look, "the end")
        return received

    def environ(self, client: socket.socket) -> dict[str, str]:
        answer = parse_answer(self.received(client))
        assert answer.status == 200
        found: dict[str, str] = json.loads(answer.body)
        return found

    @property
    def count(self) -> int:
        return len(self.station.connections)


@pytest.fixture
def desk() -> Iterator[Callable[..., Desk]]:
    made: list[tuple[Desk, Any]] = []

    def make(announcement: str, context: ssl.SSLContext | None = None, **options: Any) -> Desk:
        manager = station(mirror, **options)
        made.append((Desk(manager.__enter__(), announcement, context), manager))
        return made[-1][0]

    yield make
    for desk, manager in made:
        for client in desk.clients:
            client.close()
        desk.station.turn(2)
        desk.station.connections.close_idle()
        manager.__exit__(None, None, None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    pair = authority.sign("shop", "shop.example")
    return server_context(
        Material(credentials=(Credential(pair.certificate.read_bytes(), pair.key.read_bytes()),))
    )


def seen(environ: dict[str, str]) -> tuple[str, ...]:
    return tuple(environ[key] for key in ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT"))


# The PROXY protocol -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announcement", ["required", "optional"])
@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_the_client_is_who_the_proxy_says(
    desk: Callable[..., Desk], announcement: str, header: bytes
) -> None:
    here = desk(announcement)
    environ = here.environ(here.connect(header + GET))
    assert seen(environ) == FROM_HEADER
    assert environ["prefork.peer"] == "10.0.0.1:50001"
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"  # of the client's own, so it changes nothing


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_header_may_come_byte_by_byte(desk: Callable[..., Desk], header: bytes) -> None:
    here = desk("required")
    client = here.connect()
    for byte in header + GET:
        client.send(bytes([byte]))
        here.station.turn()
    assert seen(here.environ(client)) == FROM_HEADER


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
def test_a_proxy_that_speaks_for_nobody_is_the_client_and_its_fields_are_not_believed(
    desk: Callable[..., Desk], header: bytes
) -> None:
    here = desk("required")
    environ = here.environ(here.connect(header + GET))
    assert seen(environ)[:2] == ("10.0.0.1", "50001")


def test_a_trusted_proxy_may_be_the_client_of_another(desk: Callable[..., Desk]) -> None:
    """A balancer that passes bytes on, in front of a proxy that adds fields."""
    here = desk("required")
    environ = here.environ(here.connect(V1.replace(b"192.0.2.7", b"10.0.0.99") + GET))
    assert environ["REMOTE_ADDR"] == "203.0.113.9"


def test_a_header_that_is_required_and_missing(desk: Callable[..., Desk]) -> None:
    here = desk("required")
    assert here.received(here.connect(GET)) == b""
    assert here.count == 0
    assert here.station.log.fields("proxy_header_refused")["client"] == "10.0.0.1:50001"


@pytest.mark.parametrize("announcement", ["required", "optional"])
def test_a_malformed_header(desk: Callable[..., Desk], announcement: str) -> None:
    here = desk(announcement)
    assert here.received(here.connect(b"PROXY TCP4 x\r\n" + GET)) == b""
    assert here.station.log.fields("proxy_header_refused")["detail"] == "malformed PROXY header of version 1"


def test_nobody_else_may_send_one(desk: Callable[..., Desk]) -> None:
    stranger = ("192.0.2.200", 1)
    required, optional = desk("required"), desk("optional")
    assert required.received(required.connect(V1 + GET, stranger)) == b""
    assert "not among [proxy] trusted" in str(required.station.log.fields("proxy_header_refused")["detail"])
    # Where it is optional a stranger speaks HTTP, and this is none.
    assert parse_answer(optional.received(optional.connect(V1 + GET, stranger))).status == 400
    environ = optional.environ(optional.connect(GET, stranger))
    assert environ["REMOTE_ADDR"] == "192.0.2.200"


def test_mistakes_are_told_once_a_minute(desk: Callable[..., Desk]) -> None:
    clock = FakeClock()
    here = desk("required", clock=clock)
    for _ in range(5):
        here.received(here.connect(GET))
    assert here.station.log.events == ["proxy_header_refused"]
    clock.now += 61
    here.station.turn()
    here.received(here.connect(GET))
    assert here.station.log.events == ["proxy_header_refused"] * 2


@pytest.mark.parametrize("parts", [(GET,), (b"", GET), (b"P", b"ROPFIND" + GET[3:]), (b"\r\n", GET)])
def test_an_optional_header_may_be_left_out(desk: Callable[..., Desk], parts: tuple[bytes, ...]) -> None:
    here = desk("optional")
    client = here.connect()
    for part in parts:
        client.send(part)
        here.station.turn(2)
    environ = here.environ(client)
    assert environ["REMOTE_ADDR"] == "203.0.113.9"  # the proxy itself speaks, with fields


@pytest.mark.parametrize("start", [b"", V1[:20], V2[:20], SIGNATURE[:4]])
def test_half_a_header_ends_by_header_timeout(desk: Callable[..., Desk], start: bytes) -> None:
    clock = FakeClock()
    here = desk("required", clock=clock)
    client = here.connect(start)
    here.station.turn(2)
    clock.now += 9
    client.send(b"")
    here.station.turn(2)
    assert here.count == 1
    clock.now += 3
    here.station.turn(2)
    assert here.count == 0
    assert here.received(client) == b""


def test_they_count_and_make_room(desk: Callable[..., Desk]) -> None:
    here = desk("required")
    for _ in range(5):
        here.connect(V1[:5])
    assert here.count == 5
    assert here.station.connections.close_idle(3) == 3
    assert here.count == 2


def test_draining_gives_them_no_more_than_an_idle_connection_has(desk: Callable[..., Desk]) -> None:
    clock = FakeClock()
    here = desk("required", clock=clock)
    here.connect(V1[:5])
    here.station.connections.drain()
    clock.now += 7
    here.station.turn(2)
    assert here.count == 0


def test_a_client_that_leaves_before_it_speaks(desk: Callable[..., Desk]) -> None:
    here = desk("required")
    here.connect(V1[:5]).close()
    here.station.turn(2)
    assert here.count == 0


# TLS --------------------------------------------------------------------------------------------------------------


class TlsClient:
    """A client whose bytes the test carries."""

    def __init__(self, here: Desk, authority: Authority, first: bytes = b"", peer: object = PEER) -> None:
        self.here = here
        trusting = ssl.create_default_context(cafile=str(authority.root.certificate))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting.wrap_bio(self.incoming, self.outgoing, server_hostname="shop.example")
        self.sock = here.connect(first, peer)

    def step(self) -> bool:
        """Says what it has to say, and lets the worker turn. True: the handshake is over for the client."""
        done = True
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        self.carry()
        return done

    def carry(self, *, piece: int = 1 << 20) -> None:
        data = self.outgoing.read()
        for start in range(0, len(data), piece):
            self.sock.send(data[start : start + piece])
            self.here.station.turn()
        self.here.station.turn()
        self.incoming.write(self.here.received(self.sock, turns=1))

    def get(self, data: bytes = GET) -> dict[str, str]:
        self.here.station.until(self.step, "a handshake")
        self.tls.write(data)
        self.carry()
        received = b""
        while True:
            try:
                received += self.tls.read(65536)
                found: dict[str, str] = json.loads(parse_answer(received, closed=False).body)
                return found
            except ssl.SSLWantReadError:
                self.carry()


def test_a_request_over_tls(desk: Callable[..., Desk], authority: Authority, context: ssl.SSLContext) -> None:
    here = desk("off", context)
    environ = TlsClient(here, authority, peer=("192.0.2.8", 9)).get()
    assert (environ["HTTPS"], environ["SSL_CLIENT_VERIFY"]) == ("on", "NONE")
    assert environ["SSL_PROTOCOL"].startswith("TLSv1.")
    assert environ["REMOTE_ADDR"] == "192.0.2.8"


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("announcement", ["required", "optional"])
def test_a_header_before_tls(
    desk: Callable[..., Desk], authority: Authority, context: ssl.SSLContext, announcement: str, header: bytes
) -> None:
    here = desk(announcement, context)
    assert seen(TlsClient(here, authority, header).get()) == FROM_HEADER


def test_an_optional_header_left_out_before_tls(
    desk: Callable[..., Desk], authority: Authority, context: ssl.SSLContext
) -> None:
    here = desk("optional", context)
    assert TlsClient(here, authority).get()["HTTPS"] == "on"


def test_a_slow_handshake_holds_nobody_and_ends(
    desk: Callable[..., Desk], authority: Authority, context: ssl.SSLContext
) -> None:
    clock = FakeClock()
    here = desk("off", context, clock=clock)
    slow = TlsClient(here, authority)
    assert not slow.step()
    silent = here.connect()
    assert TlsClient(here, authority).get()["HTTPS"] == "on"
    clock.now += 11
    here.station.turn(2)
    assert here.received(silent) == b""
    assert here.count <= 1  # the quick one, should it linger
    here.received(slow.sock)


def test_a_handshake_may_come_byte_by_byte(
    desk: Callable[..., Desk], authority: Authority, context: ssl.SSLContext
) -> None:
    here = desk("off", context)
    client = TlsClient(here, authority)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.carry(piece=1)
    assert client.get()["HTTPS"] == "on"


def test_part_of_a_hello_costs_no_more_than_its_bytes(
    desk: Callable[..., Desk], authority: Authority, context: ssl.SSLContext
) -> None:
    here = desk("off", context)
    client = TlsClient(here, authority)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    hello = client.outgoing.read()
    client.sock.sendall(hello[:-1])
    here.station.turn(2)
    (preamble,) = here.station.connections._arriving
    assert preamble.tls is None
    client.outgoing.write(hello[-1:])
    client.carry()
    assert client.get()["HTTPS"] == "on"


@given(
    st.sampled_from(
        [b"\x16\x03\x01", b"\x16\x03\x01\0\x10\x01\0\0\x0c\x03\x03", SIGNATURE, b"PROXY TCP4 ", b""]
    ),
    st.binary(),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_end_in_peace(context: ssl.SSLContext, start: bytes, rest: bytes) -> None:
    with station(mirror) as made:
        here = Desk(made, "optional", context)
        with here.connect(start + rest) as client:
            made.turn(2)
            client.shutdown(socket.SHUT_WR)
            here.received(client)
        made.turn(2)
        assert len(made.connections) == 0
        assert set(made.log.events) <= {"proxy_header_refused"}


@pytest.mark.parametrize("first", [GET, b"\x80\x2e\x01\0\x02", b"\0", b"SSH-2.0-x\r\n"])
def test_plain_bytes_where_tls_is_spoken_are_answered_plainly(
    desk: Callable[..., Desk], context: ssl.SSLContext, first: bytes
) -> None:
    here = desk("off", context)
    answer = parse_answer(here.received(here.connect(first)))
    assert answer.status == 400
    assert ("debug", "plain HTTP where TLS is spoken") in {
        (level, str(fields.get("detail"))) for level, _, fields in here.station.log.lines
    }


def test_a_broken_handshake_is_answered_with_an_alert(
    desk: Callable[..., Desk], context: ssl.SSLContext
) -> None:
    here = desk("off", context)
    received = here.received(here.connect(b"\x16\x03\x01\0\x05hello"))
    assert received[:1] == b"\x15"  # the record type of alerts
    assert here.station.log.events == []


def test_a_certificate_that_the_client_does_not_trust(
    desk: Callable[..., Desk], context: ssl.SSLContext, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority(tmp_path_factory.mktemp("other"))
    here = desk("off", context)
    client = TlsClient(here, other)
    with pytest.raises(ssl.SSLCertVerificationError):
        here.station.until(client.step, "a refusal")
    client.carry()
    client.sock.close()
    here.station.turn(3)
    assert here.count == 0
