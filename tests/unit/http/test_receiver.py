"""The receiver's own contract: what it expects, what it holds, whom it gives the body."""

from __future__ import annotations

from typing import Any

import pytest

from prefork.http.errors import ProtocolError
from prefork.http.limits import Limits
from prefork.http.receiver import Expects, RequestReceiver
from unit.http.cases import BASE, NEXT, Sink, body_of, chunked, drive, get, new_receiver, post

HALF_HEAD = b"GET / HTTP/1.1\r\nHo"


def test_expects_follows_the_bytes() -> None:
    receiver = new_receiver()
    assert receiver.expects is Expects.IDLE
    assert receiver.feed(b"POST / HT") is None
    assert receiver.expects is Expects.HEAD
    assert receiver.feed(b"TP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n") is None
    assert receiver.expects is Expects.BODY
    assert receiver.feed(b"o") is None
    assert receiver.expects is Expects.BODY
    request = receiver.feed(b"k")
    assert request is not None and body_of(request) == b"ok"
    assert receiver.expects is Expects.IDLE
    assert not receiver.pending


def test_an_empty_line_is_nothing_of_a_request() -> None:
    receiver = new_receiver()
    assert receiver.feed(b"\r\n") is None
    assert receiver.expects is Expects.IDLE
    assert receiver.next() is None
    receiver.eof()
    assert receiver.feed(get()) is not None


def test_each_request_may_have_its_empty_line() -> None:
    receiver = new_receiver()
    for pieces in ([b"\r\n", get()], [b"\r\n" + get()], [b"\r", b"\n" + get()], [get()]):
        assert len(drive(receiver, pieces)) == 1


def test_empty_lines_do_not_add_up_between_requests() -> None:
    with pytest.raises(ProtocolError, match="not HTTP"):
        drive(new_receiver(), [b"\r\n", b"\r\n"])


def test_pending_says_that_next_has_something_to_look_at() -> None:
    receiver = new_receiver()
    assert receiver.feed(get() + NEXT + HALF_HEAD) is not None
    assert receiver.pending
    assert receiver.expects is Expects.IDLE
    second = receiver.next()
    assert second is not None and second.head.target == "/next?it"
    assert receiver.pending
    assert receiver.next() is None
    assert receiver.expects is Expects.HEAD
    assert receiver.feed(b"st: a\r\n\r\n") is not None
    assert not receiver.pending
    assert receiver.next() is None


def test_bytes_behind_an_unanswered_request_are_kept_in_order() -> None:
    receiver = new_receiver()
    assert receiver.feed(get(b"/1") + get(b"/2")[:10]) is not None
    second = receiver.feed(get(b"/2")[10:] + get(b"/3"))
    third = receiver.next()
    assert second is not None and third is not None
    assert (second.head.target, third.head.target) == ("/2", "/3")


def test_a_body_behind_a_pipelined_head_goes_on_with_feed() -> None:
    receiver = new_receiver()
    assert receiver.feed(get() + NEXT[:-1]) is not None
    assert receiver.next() is None
    assert receiver.expects is Expects.BODY
    request = receiver.feed(NEXT[-1:])
    assert request is not None and body_of(request) == b"ok"


def test_many_pipelined_requests() -> None:
    wire = b"".join(get(b"/%d" % number) for number in range(500))
    requests = drive(new_receiver(), [wire])
    assert [request.head.target for request in requests] == [f"/{number}" for number in range(500)]


def test_the_base_is_not_changed_and_not_shared() -> None:
    before = dict(BASE)
    first, second = drive(new_receiver(), [get() + get()])
    first.environ["app.key"] = 1
    assert before == BASE
    assert "app.key" not in second.environ


def test_continue_is_wanted_until_the_body_is_here() -> None:
    receiver = new_receiver()
    assert receiver.feed(post(b"Expect: 100-Continue", b"Content-Length: 2")) is None
    assert receiver.wants_continue
    receiver.wants_continue = False
    assert receiver.feed(b"o") is None
    assert not receiver.wants_continue
    assert receiver.feed(b"k") is not None


@pytest.mark.parametrize(
    "wire",
    [
        post(b"Expect: 100-continue", b"Content-Length: 2", body=b"ok"),
        post(b"Expect: 100-continue", b"Content-Length: 0"),
        post(b"Expect: 100-continue"),
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        post(b"Content-Length: 2"),
    ],
    ids=["body-came-along", "empty-body", "no-body", "http-1.0", "no-expect"],
)
def test_continue_is_not_wanted(wire: bytes) -> None:
    receiver = new_receiver()
    receiver.feed(wire)
    assert not receiver.wants_continue


def test_continue_is_forgotten_when_the_whole_body_came_unasked() -> None:
    receiver = new_receiver()
    assert receiver.feed(post(b"Expect: 100-continue", b"Content-Length: 2")) is None
    assert receiver.feed(b"ok") is not None
    assert not receiver.wants_continue


def test_a_chunked_body_is_handed_over_decoded() -> None:
    [request] = drive(new_receiver(), [chunked(b"2\r\nok\r\n3\r\nabc\r\n0\r\n\r\n")])
    assert request.environ["CONTENT_LENGTH"] == "5"
    assert "HTTP_TRANSFER_ENCODING" not in request.environ
    assert request.head.chunked and request.head.content_length is None
    assert body_of(request) == b"okabc"


def test_a_sink_is_made_at_the_first_byte_of_content_only() -> None:
    made: list[Sink] = []

    def new_body() -> Sink:
        made.append(Sink())
        return made[-1]

    receiver = RequestReceiver(Limits(), BASE, new_body)
    assert receiver.feed(post(b"Content-Length: 2")) is None
    assert made == []
    assert receiver.feed(b"ok") is not None
    assert len(made) == 1


def unfinished() -> tuple[RequestReceiver, Sink]:
    sink = Sink()
    receiver = RequestReceiver(Limits(), BASE, lambda: sink)
    assert receiver.feed(chunked(b"2\r\nok\r\n")) is None
    assert not sink.closed
    return receiver, sink


def test_close_gives_an_unfinished_body_back() -> None:
    receiver, sink = unfinished()
    receiver.close()
    assert sink.closed
    receiver.close()


def test_an_error_gives_an_unfinished_body_back() -> None:
    receiver, sink = unfinished()
    with pytest.raises(ProtocolError):
        receiver.feed(b"no chunk size\r\n")
    assert sink.closed


def test_an_early_end_gives_an_unfinished_body_back() -> None:
    receiver, sink = unfinished()
    with pytest.raises(ProtocolError, match="middle of a body"):
        receiver.eof()
    assert sink.closed


def test_a_finished_body_is_left_to_its_request() -> None:
    receiver, sink = unfinished()
    assert receiver.feed(b"0\r\n\r\n") is not None
    receiver.close()
    assert not sink.closed


def test_an_error_of_the_sink_passes_through() -> None:
    class Full(Sink):
        def write(self, data: bytes, /) -> None:
            raise OSError(28, "No space left on device")

    receiver = RequestReceiver(Limits(), BASE, Full)
    with pytest.raises(OSError, match="No space"):
        receiver.feed(post(b"Content-Length: 2", body=b"ok"))
    receiver.close()


def test_no_limit_on_bodies_when_max_body_is_zero() -> None:
    receiver = new_receiver(Limits(max_body=0))
    assert receiver.feed(post(b"Content-Length: 999999999999999999")) is None
    receiver = new_receiver(Limits(max_body=0))
    assert receiver.feed(chunked(b"fffffffffffffff\r\n")) is None


def test_content_is_not_copied_while_a_body_arrives() -> None:
    pieces: list[Any] = []

    class Keeps(Sink):
        def write(self, data: bytes, /) -> None:
            pieces.append(data)

    for head, end in ((post(b"Content-Length: 2000"), b""), (chunked(b"7d0\r\n"), b"\r\n0\r\n\r\n")):
        pieces.clear()
        receiver = RequestReceiver(Limits(), BASE, Keeps)
        assert receiver.feed(head) is None
        first, second = b"a" * 1000, b"b" * 1000
        receiver.feed(first)
        receiver.feed(second)
        if end:
            receiver.feed(end)
        assert pieces[0] is first
        assert pieces[1] is second
