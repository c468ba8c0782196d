"""The known families of request smuggling, on the wire: the second request hidden in the first is never answered."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from support.server import Server, ServerFactory
from support.wire import Answer, WireError, parse_answer
from unit.http.families import CASES, EARLY_END, HIDDEN, Case

FAR = {"header_timeout": 600, "body_timeout": 600, "keepalive_timeout": 600}  # a refusal, not a time limit
SERVERS = {
    "inline": ({"count": 1, "threads": 1}, {}),
    "threads": ({"count": 1, "threads": 4}, {}),
    "unbuffered": ({"count": 1, "threads": 4}, {"buffer_body": False}),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, module_server_factory: ServerFactory) -> Iterator[Server]:
    workers, requests = SERVERS[request.param]
    started = module_server_factory(
        {"app": {"target": "hidden:app"}, "workers": workers, "requests": {**FAR, **requests}}
    ).wait_ready()
    before = started.workers()
    yield started
    assert started.workers() == before, "no bytes may end a worker"
    assert "THE HIDDEN REQUEST" not in started.log.text
    started.close()


def exchange(server: Server, wire: bytes, *, in_pieces: bool) -> bytes:
    """Everything the server says to these bytes and the end of the client's direction."""
    with server.connect() as connection:
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(wire), 7) if in_pieces else [0]:
            connection.send(wire[start : start + 7] if in_pieces else wire)
        connection.sock.shutdown(socket.SHUT_WR)
        return connection.read_to_end()


def served(answer: Answer) -> bool:
    return answer.status in (200, 302, 500)


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "pieces"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_hidden_request_is_never_answered(server: Server, case: Case, in_pieces: bool) -> None:
    mark = server.mark()
    try:
        raw = exchange(server, case.wire, in_pieces=in_pieces)
    except (ConnectionResetError, BrokenPipeError):
        # It was refused while we were still sending; or we went on behind our own "Connection: close", which RFC 9112
        # section 9.6 forbids: nobody waits for what such a client sends.
        assert case.status or case.family == "end of the connection"
        return
    raw = re.sub(rb"^HTTP/1.1 100 Continue\r\n\r\n", b"", raw)
    try:
        answer = parse_answer(raw, "HEAD" if case.wire.startswith(b"HEAD ") else "GET")
    except WireError:
        # The body was judged while the application had it (unbuffered): its answer, if any, is not the hidden request's.
        assert case.status
        assert b"/hidden" not in raw
        return
    assert b"/hidden" not in answer.body
    if case.status and not served(answer):
        assert answer.status == case.status
    if not case.status:
        assert served(answer)
    assert "THE HIDDEN REQUEST" not in "\n".join(server.log.lines[mark:])


def test_a_connection_goes_on_behind_a_body_that_looks_like_a_request(server: Server) -> None:
    with server.connect() as connection:
        for path in ("/first", "/unread", "/error", "/redirect"):
            for _ in range(3):
                answer = connection.request("POST", path, body=HIDDEN)
                assert b"hidden" not in answer.body
                if answer.closes:  # an unread body may cost the connection, never its sense
                    connection.close()
                    return


@pytest.mark.parametrize("case", [c for c in CASES if c.family == EARLY_END], ids=lambda case: case.name)
def test_half_a_request_never_looks_whole_to_the_application(server: Server, case: Case) -> None:
    raw = exchange(server, case.wire, in_pieces=False)
    assert not raw.startswith(b"HTTP/1.1 200")
