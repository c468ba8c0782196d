"""What is refused, fed in every way: always the same status, never a request."""

from __future__ import annotations

import pytest

from prefork.http.errors import ProtocolError
from prefork.http.receiver import Expects
from unit.http.cases import ACCEPTED, NEXT, REFUSED, Refused, drive, new_receiver, splits

every_case = pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)


@every_case
def test_fed_in_every_way(case: Refused) -> None:
    for pieces in splits(case.wire):
        receiver = new_receiver(case.limits)
        with pytest.raises(ProtocolError) as caught:
            drive(receiver, pieces)
        assert caught.value.status == case.status, (pieces, caught.value.detail)
        assert receiver.expects is Expects.NOTHING
        assert not receiver.pending


@every_case
def test_what_follows_is_not_read(case: Refused) -> None:
    receiver = new_receiver(case.limits)
    with pytest.raises(ProtocolError) as caught:
        drive(receiver, [case.wire + NEXT])
    assert caught.value.status == case.status
    for again in (lambda: receiver.feed(NEXT), receiver.next, receiver.eof):
        with pytest.raises(ProtocolError) as dead:
            again()
        assert dead.value is caught.value


@every_case
def test_detail_is_short_and_safe_for_a_log(case: Refused) -> None:
    with pytest.raises(ProtocolError) as caught:
        drive(new_receiver(case.limits), [case.wire])
    detail = caught.value.detail
    assert detail.isascii() and detail.isprintable() and len(detail) < 400
    assert str(caught.value) == f"{case.status}: {detail}"


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"\x16\x03", 400),
        (b"\n", 400),
        (b"\r\n\r\n", 400),
        (b"\r\n\r", 400),
        (b"\rG", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\rH", 400),
        (b"GET  / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"CONNECT a:1 HTTP/1.1\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\0", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n", 400),
        (b"A" * 8193, 414),
        (b"GET / HTTP/1.1\r\n" + b"A" * 40000, 431),
    ],
)
def test_refused_before_the_head_is_complete(start: bytes, status: int) -> None:
    for pieces in splits(start):
        with pytest.raises(ProtocolError) as caught:
            drive(new_receiver(), pieces)
        assert caught.value.status == status


def test_there_are_enough_cases() -> None:
    assert len({case.name for case in REFUSED}) == len(REFUSED)
    assert len(ACCEPTED) + len(REFUSED) >= 150
