"""Bodies that are not collected: a request at its head, then content while `expects` is BODY."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.http.errors import ProtocolError
from prefork.http.limits import Limits
from prefork.http.receiver import Expects, RequestReceiver

BODY = bytes(range(256)) * 3
NEXT = b"GET /next HTTP/1.1\r\nHost: t\r\n\r\n"


def receiver(**limits: int) -> RequestReceiver:
    return RequestReceiver(Limits(**limits), {}, None)


def head(*fields: str) -> bytes:
    return "\r\n".join(["POST / HTTP/1.1", "Host: t", *fields, "", ""]).encode()


def chunked(body: bytes, size: int) -> bytes:
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def read_through(made: RequestReceiver, wire: bytes, cuts: list[int]) -> bytes:
    """Feeds the wire in pieces; the content of the one request in it."""
    at = 0
    content: bytes | None = None
    for cut in [*sorted(cuts), len(wire)]:
        piece, at = wire[at:cut], cut
        while piece or made.more:
            if content is None:
                request = made.feed(piece)
                if request is not None:
                    assert request.body is None
                    content = request.begun
            elif made.expects is Expects.BODY:
                content += made.content(piece)
            else:
                made.pending += (
                    piece  # the connection reads no further than the body before its response is out
                )
            piece = b""
    assert content is not None
    return content


@given(st.lists(st.integers(0, 900), max_size=6), st.integers(1, 400))
def test_content_is_the_same_wherever_it_is_cut(cuts: list[int], size: int) -> None:
    for wire in (
        head(f"Content-Length: {len(BODY)}") + BODY,
        head("Transfer-Encoding: chunked") + chunked(BODY, size),
    ):
        made = receiver()
        assert read_through(made, wire, cuts) == BODY
        assert made.expects is Expects.IDLE


def test_what_is_behind_a_body_is_the_next_request() -> None:
    for wire in (head("Content-Length: 3") + b"abc", head("Transfer-Encoding: chunked") + chunked(b"abc", 2)):
        made = receiver()
        request = made.feed(wire + NEXT)
        assert request is not None
        assert request.begun == b"abc"
        following = made.next()
        assert following is not None
        assert following.environ["PATH_INFO"] == "/next"
        assert following.begun is None


def test_the_head_alone_is_a_request() -> None:
    made = receiver()
    request = made.feed(head("Content-Length: 3", "Expect: 100-continue"))
    assert request is not None
    assert (request.begun, made.expects, made.wants_continue) == (b"", Expects.BODY, True)
    assert made.content(b"abc") == b"abc"
    assert (made.expects, made.wants_continue) == (Expects.IDLE, False)


def test_the_application_is_told_that_a_chunked_body_comes() -> None:
    request = receiver().feed(head("Transfer-Encoding: chunked"))
    assert request is not None
    assert request.environ["HTTP_TRANSFER_ENCODING"] == "chunked"
    assert "CONTENT_LENGTH" not in request.environ


def test_no_body() -> None:
    for wire in (NEXT, head("Content-Length: 0")):
        request = receiver().feed(wire)
        assert request is not None
        assert (request.begun, request.body) == (None, None)


def test_an_early_end() -> None:
    made = receiver()
    assert made.feed(head("Content-Length: 3")) is not None
    assert made.content(b"a") == b"a"
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            made.eof()
        assert caught.value.status == 400
    assert made.expects is Expects.NOTHING


@pytest.mark.parametrize(
    ("piece", "status"), [(b"x\r\n", 400), (b"1\r\nab", 400), (b"ffff\r\n", 413), (b"0\r\nHost: x\r\n", 400)]
)
def test_damage_and_limits_in_the_middle(piece: bytes, status: int) -> None:
    made = receiver(max_body=1000)
    assert made.feed(head("Transfer-Encoding: chunked") + b"1\r\na\r\n") is not None
    with pytest.raises(ProtocolError) as caught:
        made.content(piece)
    assert caught.value.status == status
    assert made.expects is Expects.NOTHING


def test_a_length_over_the_limit_is_refused_at_the_head() -> None:
    with pytest.raises(ProtocolError) as caught:
        receiver(max_body=1000).feed(head("Content-Length: 1001"))
    assert caught.value.status == 413


def test_very_many_chunks_are_decoded_in_turns() -> None:
    made = receiver()
    wire = chunked(b"x" * 1000, 1)
    request = made.feed(head("Transfer-Encoding: chunked") + wire)
    assert request is not None
    content = request.begun or b""
    turns = 1
    while made.expects is Expects.BODY:
        assert made.more
        content += made.content(b"")
        turns += 1
    assert content == b"x" * 1000
    assert turns > 5
