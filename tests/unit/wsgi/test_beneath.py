"""No name leads out of the directory, and nothing but regular files is opened."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from prefork.wsgi import beneath
from prefork.wsgi.beneath import IsDirectoryError, NoFileError, open_file
from support.deadline import Deadline


@pytest.fixture(params=["openat2", "step by step"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "openat2":
        if not beneath._has_openat2():
            pytest.skip("this kernel has no openat2(2)")
    else:
        monkeypatch.setattr(beneath, "_has_openat2", lambda: False)
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    return folder


def content(root: Path, path: bytes, *, follow_symlinks: bool = False) -> bytes:
    file = open_file(str(root), path, follow_symlinks=follow_symlinks)
    try:
        data = os.read(file.fd, 100)
        assert len(data) == file.size
        return data
    finally:
        file.close()


def test_a_file(root: Path) -> None:
    assert content(root, b"sub/file") == b"inside"
    file = open_file(str(root), b"sub/file")
    assert not os.get_inheritable(file.fd)
    assert file.mtime_ns == (root / "sub" / "file").stat().st_mtime_ns
    file.close()


@pytest.mark.parametrize(
    "path", [b"none", b"sub/none", b"sub/file/", b"sub/file/x", b"x" * 300, b"a/" * 3000 + b"b"]
)
def test_no_such_file(root: Path, path: bytes) -> None:
    with pytest.raises(NoFileError):
        open_file(str(root), path)


def test_no_such_root(root: Path) -> None:
    with pytest.raises(NoFileError):
        open_file(str(root / "gone"), b"file")


@pytest.mark.parametrize("path", [b"sub", b"", b"sub/"])
def test_a_directory_is_said_to_be_one(root: Path, path: bytes) -> None:
    with pytest.raises(NoFileError):
        open_file(str(root), path)
    if not path.endswith(b"/"):
        with pytest.raises(IsDirectoryError):
            open_file(str(root), path)


@pytest.mark.parametrize(
    "target", ["../secret", "{tmp}/secret", "sub/../../secret", "/proc/self/root/etc/passwd"]
)
def test_links_out_of_the_directory(root: Path, target: str) -> None:
    (root / "link").symlink_to(target.format(tmp=root.parent))
    with pytest.raises(NoFileError):
        open_file(str(root), b"link")
    assert content_or_none(root) is not None


def content_or_none(root: Path) -> bytes | None:
    file = open_file(str(root), b"link", follow_symlinks=True)
    try:
        return os.read(file.fd, 10)
    finally:
        file.close()


def test_a_linked_directory_out_of_the_directory(root: Path) -> None:
    (root / "up").symlink_to("..")
    with pytest.raises(NoFileError):
        open_file(str(root), b"up/secret")
    assert content(root, b"up/secret", follow_symlinks=True) == b"outside"


def test_links_within_the_directory(root: Path) -> None:
    (root / "link").symlink_to("sub/file")
    if beneath._has_openat2():
        assert content(root, b"link") == b"inside"
    else:  # each link is refused where the kernel cannot tell
        with pytest.raises(NoFileError):
            open_file(str(root), b"link")


def test_a_link_to_itself(root: Path) -> None:
    (root / "link").symlink_to("link")
    with pytest.raises(NoFileError):
        open_file(str(root), b"link")
    with pytest.raises(NoFileError):
        open_file(str(root), b"link", follow_symlinks=True)


def test_dots_lead_nowhere_even_if_somebody_lets_them_through(root: Path) -> None:
    if beneath._has_openat2():
        with pytest.raises(NoFileError):
            open_file(str(root), b"../secret")
        with pytest.raises(NoFileError):
            open_file(str(root), b"/etc/passwd")


def test_special_files_are_not_opened_and_do_not_block(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "socket"))
        for name in (b"pipe", b"socket"):
            with pytest.raises(NoFileError):
                open_file(str(root), name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(root: Path) -> None:
    (root / "sub" / "file").chmod(0)
    with pytest.raises(PermissionError):
        open_file(str(root), b"sub/file")


def test_no_descriptor_is_left(root: Path) -> None:
    os.mkfifo(root / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (b"sub", b"none", b"pipe", b"sub/file/x"):
        with pytest.raises(NoFileError):
            open_file(str(root), path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_directory_that_was_replaced_is_found(root: Path) -> None:
    assert content(root, b"sub/file") == b"inside"
    root.rename(root.parent / "old")
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_bytes(b"new")
    assert content(root, b"sub/file") == b"new"


def test_a_race_never_leads_out(root: Path) -> None:
    """Somebody swaps a directory and a link as fast as possible; what is opened is inside or nothing."""
    (root / "way").mkdir()
    (root / "way" / "secret").write_bytes(b"inside")
    (root / "aside").symlink_to("..")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for one, other in (("way", "kept"), ("aside", "way"), ("way", "aside"), ("kept", "way")):
                (root / one).rename(root / other)

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        deadline = Deadline()
        tries = 0
        while (tries < 3000 or not seen) and not deadline.passed:
            tries += 1
            try:
                seen.add(content(root, b"way/secret"))
            except NoFileError:
                pass
    finally:
        stop.set()
        thread.join()
    assert seen <= {b"inside"}
    assert seen


def test_an_interrupted_or_uncertain_walk_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = beneath._syscall

    def flaky(*arguments: object) -> int:
        calls.append(arguments)
        if len(calls) < 3:
            beneath.ctypes.set_errno(errno.EAGAIN)
            return -1
        return real(*arguments)

    if not beneath._has_openat2():
        pytest.skip("this kernel has no openat2(2)")
    monkeypatch.setattr(beneath, "_syscall", flaky)
    assert content(root, b"sub/file") == b"inside"
    assert len(calls) == 3
