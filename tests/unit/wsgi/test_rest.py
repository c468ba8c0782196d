"""`wsgi.input` whose end is fetched by reading it: behaves like any file, whatever was collected before."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.wsgi.chunks import CHUNK_BYTES, ChunkPool
from prefork.wsgi.input import SpooledBody
from prefork.wsgi.rest import SMALL_BYTES

STEP = st.one_of(
    st.tuples(st.just("read"), st.sampled_from([-1, None, 0, 1, 100, SMALL_BYTES, 40_000, 10**7])),
    st.tuples(st.just("readline"), st.sampled_from([-1, 0, 7, 5000])),
    st.tuples(st.just("readinto"), st.sampled_from([1, 3000, 50_000])),
    st.tuples(st.just("seek"), st.integers(0, 100_000)),
    st.tuples(st.just("tell"), st.none()),
    st.tuples(st.just("next"), st.none()),
)


class Fetched:
    """A rest of which at most `most` bytes come at once."""

    def __init__(self, content: bytes, most: int) -> None:
        self._content = content
        self._most = most
        self.left = len(content)
        self.ended = False

    def fetch(self, at: int, size: int) -> bytes:
        assert 0 < size <= self.left - at
        return self._content[at : at + min(size, self._most)]

    def end(self) -> None:
        self.ended = True


def do(stream: Any, step: str, argument: Any) -> Any:
    if step == "readinto":
        buffer = bytearray(argument)
        return bytes(buffer[: stream.readinto(buffer)])
    if step == "next":
        return next(stream, b"")
    if step == "tell":
        return stream.tell()
    return getattr(stream, step)(argument)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from([0, 10, 999, 1000, 30_000, CHUNK_BYTES + 5]),
    st.sampled_from([1, 500, 70_000]),
    st.sampled_from([1000, 50_000, 10**6]),
    st.lists(STEP, max_size=12),
)
def test_it_is_a_file(before: int, after: int, most: int, steps: list[tuple[str, Any]]) -> None:
    content = random.Random(before).randbytes(before + after)
    body = SpooledBody(1000, ChunkPool(lambda: 10 * CHUNK_BYTES))
    if before:
        body.write(content[:before])
    body.end_with(Fetched(content[before:], most))
    assert body.size == len(content)
    stream, model = body.as_input(), io.BytesIO(content)
    assert stream.readable()
    assert stream.seekable()
    for step, argument in steps:
        assert do(stream, step, argument) == do(model, step, argument), step
    assert stream.read() == model.read()
    stream.seek(0)
    assert stream.readlines() == io.BytesIO(content).readlines()
    body.close()


@pytest.mark.parametrize("whence", [io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
def test_seeking_from_anywhere(whence: int) -> None:
    body = SpooledBody(1000)
    body.end_with(Fetched(b"0123456789", 3))
    stream = body.as_input()
    assert stream.seek(5) == 5
    assert (
        stream.seek(-2 if whence else 2, whence) == {io.SEEK_SET: 2, io.SEEK_CUR: 3, io.SEEK_END: 8}[whence]
    )
    with pytest.raises(ValueError, match="negative"):
        stream.seek(-100, io.SEEK_END)
    assert stream.seek(100) == 100
    assert stream.read() == b""


def test_some_bytes() -> None:
    body = SpooledBody(1000)
    body.end_with(Fetched(b"one\ntwo\n", 8))
    stream: Any = body.as_input()
    assert stream.peek(2)[:2] == b"on"
    assert stream.read1(3) == b"one"
    buffer = bytearray(2)
    assert stream.readinto1(buffer) == 2
    assert buffer == b"\nt"


def test_the_end_is_told() -> None:
    rest = Fetched(b"x", 1)
    body = SpooledBody(1000)
    body.end_with(rest)
    body.close()
    assert rest.ended


def test_what_lies_elsewhere_counts() -> None:
    pool = ChunkPool(lambda: 8 * CHUNK_BYTES)
    first, second = SpooledBody(1000, pool), SpooledBody(1000, pool)
    assert first.promise(3 * CHUNK_BYTES)
    assert not second.promise(2 * CHUNK_BYTES)
    assert second.promise(CHUNK_BYTES)
    assert [pool.take(all_the_same=False) is not None for _ in range(5)] == [True] * 4 + [False]
    first.withdraw()
    first.withdraw()
    assert pool.take(all_the_same=False) is not None
    assert not first.promise(3 * CHUNK_BYTES)
    second.close()
    assert first.promise(3 * CHUNK_BYTES)
    del first  # of a request that was never begun
    assert pool.promise(3 * CHUNK_BYTES)
    assert not SpooledBody(1000).promise(2000)  # no memory to share: a file
    assert not SpooledBody(1000, pool).promise(1000)  # small
