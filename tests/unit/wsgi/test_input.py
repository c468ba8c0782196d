"""wsgi.input: in memory or in a file, the application cannot tell."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.wsgi.input import SpooledBody

TEXT = b"line one\nline two\r\n\nlast without end"


def body_of(*pieces: bytes, memory_bytes: int = 10) -> SpooledBody:
    body = SpooledBody(memory_bytes)
    for piece in pieces:
        body.write(piece)
    return body


@pytest.fixture(params=[1000, 10, 0], ids=["memory", "file", "file from the start"])
def memory_bytes(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_it_reads_like_a_file(memory_bytes: int) -> None:
    body = body_of(TEXT[:7], TEXT[7:], memory_bytes=memory_bytes)
    stream: Any = body.as_input()
    assert stream.read() == TEXT
    assert stream.read() == b""
    assert stream.read(5) == b""
    assert stream.readline() == b""
    stream = body.as_input()
    assert stream.read(4) == b"line"
    assert stream.readline() == b" one\n"
    assert stream.readline(4) == b"line"
    assert stream.readlines() == [b" two\r\n", b"\n", b"last without end"]
    stream = body.as_input()
    assert list(stream) == io.BytesIO(TEXT).readlines()
    stream = body.as_input()
    assert stream.readlines(1) == [b"line one\n"]
    buffer = bytearray(6)
    assert stream.readinto(buffer) == 6
    assert buffer == b"line t"
    assert stream.read(-1) == TEXT[15:]
    body.close()


@given(st.lists(st.binary(max_size=8)), st.integers(0, 20))
def test_what_was_written_is_read(pieces: list[bytes], memory_bytes: int) -> None:
    body = body_of(*pieces, memory_bytes=memory_bytes)
    assert body.as_input().read() == b"".join(pieces)
    body.close()


def test_the_bound_is_exact() -> None:
    within, beyond = body_of(b"x" * 10), body_of(b"x" * 10, b"y")
    assert isinstance(within.as_input(), io.BytesIO)
    assert not isinstance(beyond.as_input(), io.BytesIO)
    assert beyond.as_input().read() == b"x" * 10 + b"y"
    within.close()
    beyond.close()


def test_the_file_has_no_name_and_goes_with_its_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    body = body_of(b"x" * 11)
    fd = body.as_input().fileno()
    assert list(tmp_path.iterdir()) == []
    assert not os.get_inheritable(fd)
    body.close()
    with pytest.raises(OSError):
        os.fstat(fd)


def test_close_may_be_called_again_and_by_the_application() -> None:
    for size in (5, 50):
        body = body_of(b"x" * size)
        body.as_input().close()
        body.close()
        body.close()


class FullDisk(io.RawIOBase):
    """A file on a full disk."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_when_writing_and_forgotten_when_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Any] = []

    def full(**options: Any) -> Any:
        files.append(FullDisk())
        return files[-1]

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    body = SpooledBody(10)
    with pytest.raises(OSError, match="No space"):
        body.write(b"x" * 100)
    body.close()
    assert files[0].closed
