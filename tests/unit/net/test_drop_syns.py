"""The filter that turns new connections away from an address that is given up. On loopback a handshake is over when connect(2)
returns, so the state of the socket tells at once.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator

import pytest

from prefork.net.tcp import drop_syns
from support.deadline import DEADLINE_S

_ESTABLISHED, _SYN_SENT = 1, 2
"""enum of linux/net/tcp_states.h"""


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as sock:
        try:
            sock.bind((request.param, 0))
        except OSError as error:
            pytest.skip(f"no {request.param} here: {error.strerror}")
        sock.listen(8)
        sock.settimeout(DEADLINE_S)
        yield sock


def begin_to_connect(listener: socket.socket) -> socket.socket:
    client = socket.socket(listener.family)
    client.setblocking(False)
    assert client.connect_ex(listener.getsockname()) in (0, errno.EINPROGRESS)
    return client


def state(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def test_without_it_a_connection_is_there_at_once(listener: socket.socket) -> None:
    with begin_to_connect(listener) as client:
        assert state(client) == _ESTABLISHED


def test_a_new_client_is_not_answered_and_refused_once_the_socket_is_closed(listener: socket.socket) -> None:
    drop_syns(listener)
    with begin_to_connect(listener) as client:
        assert state(client) == _SYN_SENT, "the kernel has accepted it, and would reset it later"
        listener.close()
        # Its next attempt, after a second (tcp(7), tcp_syn_retries).
        assert select.select([], [client], [], DEADLINE_S)[1]
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_who_was_there_before_is_served_to_the_end(listener: socket.socket) -> None:
    with begin_to_connect(listener) as queued, begin_to_connect(listener) as other:
        drop_syns(listener)
        other.close()
        queued.setblocking(True)
        queued.sendall(b"a request")
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(DEADLINE_S)
            assert accepted.recv(100) == b"a request"
            accepted.sendall(b"a response")
            accepted.shutdown(socket.SHUT_WR)
            queued.settimeout(DEADLINE_S)
            assert queued.recv(100) == b"a response"
            assert queued.recv(100) == b""
            queued.close()
            assert accepted.recv(100) == b""


def test_a_handshake_that_has_begun_goes_on(listener: socket.socket) -> None:
    """With TCP_DEFER_ACCEPT it is not over for this side until data has come (tcp(7)), which makes the moment last."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
    with begin_to_connect(listener) as client:
        drop_syns(listener)
        client.sendall(b"a request")
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(100) == b"a request"
