"""What the socket did not take: in order, bounded in memory, and gone when the peer is."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.worker.outbox import MEMORY_BYTES, TURN_BYTES, FileTruncatedError, Outbox
from prefork.wsgi.filewrapper import FileSpan


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = narrow_pair()
    with ours, theirs:
        yield ours, theirs


def narrow_pair() -> tuple[socket.socket, socket.socket]:
    """A non-blocking sender with as small a buffer as the kernel allows, and its reader."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    ours.setblocking(False)
    return ours, theirs


def drain(outbox: Outbox, ours: socket.socket, theirs: socket.socket, step: int = 65536) -> bytes:
    """Sends and reads in turns until all is out."""
    received = b""
    while not (done := outbox.send(ours)):
        received += theirs.recv(step)
    assert done and outbox.empty
    ours.shutdown(socket.SHUT_WR)
    while data := theirs.recv(65536):
        received += data
    return received


def pattern(size: int) -> bytes:
    return (b"%d," * 1000 % tuple(range(1000)) * (size // 3890 + 1))[:size]


def test_empty(pair: tuple[socket.socket, socket.socket]) -> None:
    outbox = Outbox()
    assert outbox.empty
    assert outbox.send(pair[0])
    outbox.clear()


@pytest.mark.parametrize("size", [1, 5000, MEMORY_BYTES, MEMORY_BYTES + 1, 3 * MEMORY_BYTES])
def test_all_arrives_in_order(pair: tuple[socket.socket, socket.socket], size: int) -> None:
    outbox = Outbox()
    data = pattern(size)
    outbox.add(data)
    assert not outbox.empty
    assert drain(outbox, *pair) == data


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 3000), st.integers(MEMORY_BYTES // 3, MEMORY_BYTES)), max_size=8),
    st.data(),
)
def test_adding_and_sending_in_any_order(sizes: list[int], data: st.DataObject) -> None:
    ours, theirs = narrow_pair()
    outbox = Outbox()
    with ours, theirs, closing_outbox(outbox):
        received, expected = b"", b""
        for number, size in enumerate(sizes):
            piece = (b"%d:" % number + pattern(size))[:size]
            expected += piece
            outbox.add(memoryview(piece) if number % 2 else piece)
            if data.draw(st.booleans()):
                outbox.spill(data.draw(st.sampled_from([1, 10_000, MEMORY_BYTES])))
            for _ in range(data.draw(st.integers(0, 3))):
                if not outbox.send(ours):
                    received += theirs.recv(data.draw(st.sampled_from([1, 1000, 100_000])))
        assert received + drain(outbox, ours, theirs) == expected


def test_one_large_piece_is_kept_as_it_is_until_it_is_moved(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    outbox = Outbox()
    data = pattern(3 * MEMORY_BYTES)
    before = open_files()
    outbox.add(data)
    assert outbox.oversized
    assert open_files() == before
    assert not outbox.send(pair[0])
    outbox.add(b"behind")
    assert open_files() == before
    moves = 0
    while outbox.spill(MEMORY_BYTES // 2):
        moves += 1
    assert not outbox.oversized
    assert open_files() == before + 1
    assert not any(
        type(part) is memoryview and len(part) > 100 for part in outbox._parts
    )  # none of it keeps the rest alive
    assert moves in (4, 5, 6)
    assert not outbox.spill(1)
    assert drain(outbox, *pair) == data + b"behind"
    assert open_files() == before


def test_small_pieces_cost_more_than_their_bytes() -> None:
    outbox = Outbox()
    for _ in range(10_000):
        outbox.add(b"x")
    assert len(outbox._parts) < 2000
    outbox.clear()


@contextmanager
def closing_outbox(outbox: Outbox) -> Iterator[None]:
    try:
        yield
    finally:
        outbox.clear()


def test_memory_is_bounded_and_the_file_has_no_name(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = open_files()
    outbox = Outbox()
    for _ in range(10):
        outbox.add(pattern(MEMORY_BYTES // 4))
    assert outbox._size <= MEMORY_BYTES
    assert list(tmp_path.iterdir()) == []
    assert open_files() == before + 1
    assert drain(outbox, *pair) == pattern(MEMORY_BYTES // 4) * 10
    assert open_files() == before


def test_memory_is_used_again_after_the_file(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    outbox = Outbox()
    outbox.add(pattern(MEMORY_BYTES + 1))
    while not outbox.send(ours):
        theirs.recv(65536)
    assert outbox._size == 0
    before = open_files()
    outbox.add(b"next")
    assert open_files() == before


def test_clear_gives_the_file_back() -> None:
    before = open_files()
    outbox = Outbox()
    for _ in range(3):
        outbox.add(pattern(MEMORY_BYTES))
    assert open_files() == before + 1
    outbox.clear()
    assert open_files() == before
    assert outbox.empty
    outbox.clear()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (7, 10_000), (0, 3 * TURN_BYTES)])
def test_a_span_follows_its_head(
    pair: tuple[socket.socket, socket.socket], tmp_path: Path, offset: int, length: int
) -> None:
    content = pattern(3 * TURN_BYTES + 10)
    (tmp_path / "file").write_bytes(content)
    with open(tmp_path / "file", "rb") as file:
        outbox = Outbox()
        outbox.add(b"head")
        outbox.add_file(FileSpan(file.fileno(), offset, length))
        assert drain(outbox, *pair) == b"head" + content[offset : offset + length]
        assert file.tell() == 0


def test_one_turn_sends_a_bounded_part_of_a_file(tmp_path: Path) -> None:
    class Wide:
        """A socket that takes everything: a file."""

        def __init__(self, fd: int) -> None:
            self.fd = fd

        def fileno(self) -> int:
            return self.fd

    (tmp_path / "file").write_bytes(bytes(2 * TURN_BYTES + 1))
    with open(tmp_path / "file", "rb") as file, open(tmp_path / "sink", "wb") as sink:
        outbox = Outbox()
        outbox.add_file(FileSpan(file.fileno(), 0, 2 * TURN_BYTES + 1))
        wide: Any = Wide(sink.fileno())
        assert not outbox.send(wide)
        assert os.fstat(sink.fileno()).st_size == TURN_BYTES
        assert not outbox.send(wide)
        assert outbox.send(wide)


def test_a_file_that_became_shorter(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    with open(tmp_path / "file", "r+b") as file:
        outbox = Outbox()
        outbox.add_file(FileSpan(file.fileno(), 0, 1000))
        file.truncate(400)
        ours, theirs = pair
        assert not outbox.send(ours)
        assert theirs.recv(1000) == b"x" * 400
        with pytest.raises(FileTruncatedError):
            outbox.send(ours)
        outbox.clear()
        assert outbox.empty


# Trouble --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "file", "spool"])
def test_a_peer_that_is_gone(kind: str, tmp_path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    ours, theirs = pair
    outbox = Outbox()
    with open(tmp_path / "file", "rb") as file:
        if kind == "file":
            outbox.add_file(FileSpan(file.fileno(), 0, 100_000))
        else:
            outbox.add(b"x" * (100 if kind == "memory" else MEMORY_BYTES + 100))
            outbox.spill(50)
        theirs.close()
        with pytest.raises(OSError) as caught:
            while not outbox.send(ours):
                pass
        assert caught.value.errno in (errno.EPIPE, errno.ECONNRESET)
        outbox.clear()


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    outbox = Outbox()
    outbox.add(b"x" * (MEMORY_BYTES + 1))
    with pytest.raises(OSError, match="No space"):
        outbox.add(b"x" * MEMORY_BYTES)
    with pytest.raises(OSError, match="No space"):
        outbox.spill(10)
    outbox.clear()
    assert outbox.empty
