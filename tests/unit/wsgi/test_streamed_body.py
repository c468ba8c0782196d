"""`wsgi.input` of a body that is read while it arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

import pytest

from prefork.wsgi.input import BodyError, StreamedBody


def body(begun: bytes, *pieces: bytes | BodyError) -> StreamedBody:
    left = list(pieces)

    def receive() -> bytes:
        piece = left.pop(0) if left else b""
        if isinstance(piece, BodyError):
            raise piece
        return piece

    return StreamedBody(begun, receive, lambda: bool(left))


WAYS: list[Callable[[IO[bytes]], bytes]] = [
    lambda stream: stream.read(),
    lambda stream: b"".join(iter(lambda: stream.read(3), b"")),
    lambda stream: b"".join(stream),
    lambda stream: b"".join(stream.readlines()),
    lambda stream: b"".join(iter(stream.readline, b"")),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "pieces", [(b"",), (b"one\ntwo\nthree",), (b"", b"one\n", b"t", b"wo\nthree"), (b"o", *[b"x\n"] * 50000)]
)
def test_every_way_to_read_it(way: Callable[[IO[bytes]], bytes], pieces: tuple[bytes, ...]) -> None:
    assert way(body(*pieces).as_input()) == b"".join(pieces)


def test_it_asks_for_no_more_than_is_read() -> None:
    asked = []

    def receive() -> bytes:
        asked.append(1)
        return b"more"

    stream = StreamedBody(b"begun", receive, lambda: True).as_input()
    assert stream.read(5) == b"begun"
    assert not asked
    assert stream.read(4) == b"more"
    assert len(asked) == 1


@pytest.mark.parametrize("way", WAYS)
def test_an_early_end_is_an_error_every_time(way: Callable[[IO[bytes]], bytes]) -> None:
    stream = body(b"be", b"gun\n", BodyError(400, "gone")).as_input()
    for _ in range(2):
        with pytest.raises(BodyError, match="gone"):
            way(stream)


def test_after_the_request_nothing_is_read() -> None:
    made = body(b"begun", b"the next request")
    stream = made.as_input()
    assert stream.read(2) == b"be"
    made.close()
    stream.read(3)  # was buffered
    with pytest.raises(ValueError, match="after its request had ended"):
        stream.read(1)


def test_the_status_in_words() -> None:
    assert BodyError(408, "late").status_line == "408 Request Timeout"
    assert isinstance(BodyError(400, "x"), OSError)
