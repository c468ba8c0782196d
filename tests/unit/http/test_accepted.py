"""What is accepted, fed in every way, and what an application is told."""

from __future__ import annotations

import pytest

from prefork.http.receiver import Expects, Request
from unit.http.cases import ACCEPTED, NEXT, Accepted, body_of, drive, new_receiver, splits

every_case = pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)


def check(case: Accepted, request: Request) -> None:
    assert request.environ == case.environ()
    assert body_of(request) == case.body
    assert (request.body is None) == (not case.body)
    head = request.head
    assert (head.method, head.target, head.keep_alive) == (case.method, case.target, case.keep_alive)
    assert head.minor == (0 if case.protocol == "HTTP/1.0" else 1)
    assert head.line.startswith(f"{case.method} {case.target} HTTP/1.")
    assert head.line.isascii() and head.line.isprintable()


@every_case
def test_fed_in_every_way(case: Accepted) -> None:
    for pieces in splits(case.wire):
        receiver = new_receiver(case.limits)
        [request] = drive(receiver, pieces)
        check(case, request)
        assert not receiver.pending
        assert receiver.expects is Expects.IDLE
        receiver.eof()


@every_case
def test_what_follows_is_the_next_request(case: Accepted) -> None:
    for pieces in splits(case.wire + NEXT):
        receiver = new_receiver(case.limits)
        first, second = drive(receiver, pieces)
        check(case, first)
        assert (second.head.line, body_of(second)) == ("PUT /next?it HTTP/1.1", b"ok")
        assert second.environ["HTTP_HOST"] == "next.example"


@every_case
def test_an_early_end_is_never_a_request(case: Accepted) -> None:
    start = 2 if case.wire.startswith(b"\r\n") else 0
    for cut in range(start + 1, len(case.wire)):
        receiver = new_receiver(case.limits)
        assert drive(receiver, [case.wire[:cut]]) == []
        with pytest.raises(Exception, match="ended in the middle") as caught:
            receiver.eof()
        assert caught.value.status == 400  # type: ignore[attr-defined]


def test_names_of_cases_are_unique() -> None:
    assert len({case.name for case in ACCEPTED}) == len(ACCEPTED)
