"""Large bodies in memory that is used again: every byte in its place, nobody else's ever, bounded, given back."""

from __future__ import annotations

import io
import random
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.wsgi.chunks import CHUNK_BYTES, ChunkPool
from prefork.wsgi.input import SpooledBody

KEPT = 1000


def pattern(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def pool_of(chunks: int) -> ChunkPool:
    return ChunkPool(lambda: chunks * CHUNK_BYTES)


def receive(body: SpooledBody, content: bytes, step: int) -> None:
    """As a connection does: what a socket would give, at most `step` bytes at once."""
    at = 0
    while at < len(content):
        buffers = body.room(len(content) - at)
        if buffers is None:
            body.write(content[at : at + step])
            at += len(content[at : at + step])
            continue
        assert 0 < sum(map(len, buffers)) <= len(content) - at
        count = 0
        for buffer in buffers:
            piece = content[at + count : at + min(step, count + len(buffer))]
            buffer[: len(piece)] = piece
            count += len(piece)
        body.filled(count)
        at += count


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 5 * CHUNK_BYTES),
    st.sampled_from([1000, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES, 10 * CHUNK_BYTES]),
    st.integers(0, 6),
    st.integers(0, 3000),
    st.booleans(),
)
def test_what_arrives_is_what_is_read(
    size: int, step: int, chunks: int, first: int, by_writing: bool
) -> None:
    """In memory, in a file, or begun in one and ended in the other."""
    pool = pool_of(chunks)
    body = SpooledBody(KEPT, pool)
    content = pattern(size)
    body.write(content[:first])
    if by_writing:
        for at in range(first, size, step):
            body.write(content[at : at + step])
    else:
        receive(body, content[first:], step)
    assert body.size == size
    stream: Any = body.as_input()
    assert stream.read() == content
    stream.seek(size // 2)
    assert stream.readline() == io.BytesIO(content[size // 2 :]).readline()
    at = stream.tell()
    assert stream.read(CHUNK_BYTES) == content[at : at + CHUNK_BYTES]
    assert stream.read(-1) == content[at + CHUNK_BYTES :]
    assert stream.read(1) == b""
    stream.seek(0)
    buffer = bytearray(100)
    assert buffer[: stream.readinto(buffer)] == content[:100]
    body.close()
    assert pool.out == 0


def test_memory_is_bounded_for_all_together() -> None:
    pool = pool_of(4)
    bodies = [SpooledBody(CHUNK_BYTES, pool) for _ in range(5)]
    for number, body in enumerate(bodies):
        receive(body, pattern(3 * CHUNK_BYTES, number), CHUNK_BYTES)
    # Each has its own CHUNK_BYTES in any case while it grows; who needs more than there is goes to a file with all of it.
    assert pool.out <= 4 + len(bodies)
    for number, body in enumerate(bodies):
        assert body.as_input().read() == pattern(3 * CHUNK_BYTES, number)
        body.close()
    assert pool.out == 0


def test_a_body_that_is_forgotten_gives_its_memory_back() -> None:
    pool = pool_of(10)
    body = SpooledBody(0, pool)
    receive(body, pattern(3 * CHUNK_BYTES), CHUNK_BYTES)
    assert pool.out == 3
    del body
    assert pool.out == 0


def test_memory_goes_back_to_the_system_when_it_is_not_needed() -> None:
    used: list[int] = []
    pool = ChunkPool(lambda: 10 * CHUNK_BYTES, lambda: used.append(1))
    chunks = [pool.take(False) for _ in range(5)]
    assert used
    taken = [chunk for chunk in chunks if chunk is not None]
    pool.give_back(taken[:3])
    pool.trim()  # all five were out since the last look
    assert pool._made == 5
    pool.trim()
    assert pool._made == 2
    assert not pool.idle
    pool.give_back(taken[3:])
    pool.trim()
    pool.trim()
    assert pool.idle


def test_whoever_reads_too_late_sees_nobody_elses_body() -> None:
    pool = pool_of(10)
    body = SpooledBody(0, pool)
    receive(body, b"a" * 3 * CHUNK_BYTES, CHUNK_BYTES)
    stream = body.as_input()
    assert stream.read(10) == b"a" * 10
    body.close()
    other = SpooledBody(0, pool)
    receive(other, b"b" * 3 * CHUNK_BYTES, CHUNK_BYTES)
    with pytest.raises(ValueError, match="after its request"):
        while data := stream.read(CHUNK_BYTES):
            assert b"b" not in data
        raise ValueError("after its request (ended)")
    with pytest.raises(ValueError, match="after its request"):
        stream.read()
    other.close()


def test_nor_does_who_reads_at_that_very_moment() -> None:
    pool = pool_of(64)
    for _ in range(30):
        body = SpooledBody(0, pool)
        receive(body, b"a" * 32 * CHUNK_BYTES, 4 * CHUNK_BYTES)
        stream = body.as_input()
        read: list[bytes] = []

        def work(stream: Any = stream, read: list[bytes] = read) -> None:
            try:
                while data := stream.read(CHUNK_BYTES):
                    read.append(data)
            except ValueError:
                pass

        thread = threading.Thread(target=work)
        thread.start()
        body.close()
        other = SpooledBody(0, pool)
        receive(other, b"b" * 32 * CHUNK_BYTES, 4 * CHUNK_BYTES)
        thread.join()
        other.close()
        assert not any(b"b" in data for data in read)
