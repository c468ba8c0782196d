"""The known families of request smuggling, through the codec: the hidden request is never read as one."""

from __future__ import annotations

import pytest

from prefork.http.errors import ProtocolError
from prefork.http.receiver import Request
from unit.http.cases import body_of, drive, new_receiver, splits
from unit.http.families import CASES, HIDDEN, Case


def read(pieces: list[bytes]) -> tuple[list[Request], int]:
    """What a worker reads before it ends the connection, and the status of a refusal."""
    receiver = new_receiver()
    requests: list[Request] = []
    try:
        for piece in pieces:
            drive(receiver, [piece], requests)
        receiver.eof()
        status = 0
    except ProtocolError as error:
        status = error.status
    for number, request in enumerate(requests, 1):
        if not request.head.keep_alive:
            return requests[:number], 0
    return requests, status


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_hidden_request_is_never_read(case: Case) -> None:
    for pieces in splits(case.wire):
        requests, status = read(pieces)
        assert (status, len(requests)) == (case.status, case.served), pieces[:3]
        assert all("hidden" not in request.head.target for request in requests)


@pytest.mark.parametrize("case", [c for c in CASES if c.family == "CL.0"], ids=lambda case: case.id)
def test_a_body_is_content_whatever_the_method_and_target(case: Case) -> None:
    [request] = drive(new_receiver(), [case.wire])
    assert body_of(request) == HIDDEN
