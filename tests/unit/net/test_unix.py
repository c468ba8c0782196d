"""Socket files: modes, owners, and which of those that are in the way may go."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork.errors import ListenError
from prefork.net import unix
from prefork.net.address import UnixAddress
from prefork.net.unix import bind_unix, file_id, remove_socket_file
from support.child import child, run
from support.deadline import SLOWNESS

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.sock"


@pytest.fixture
def restrictive_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    assert os.umask(before) == 0o077


def bind(
    path: Path | str, mode: int | None = None, uid: int | None = None, gid: int | None = None
) -> socket.socket:
    return bind_unix(UnixAddress(str(path)), 16, mode, uid, gid)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("restrictive_umask")
@pytest.mark.parametrize(("mode", "expected"), [(None, 0o700), (0o660, 0o660), (0o666, 0o666), (0o000, 0)])
def test_mode(path: Path, mode: int | None, expected: int) -> None:
    with bind(path, mode):
        assert mode_of(path) == expected


@needs_root
def test_owner(path: Path) -> None:
    with bind(path, 0o600, uid=65533, gid=65532):
        assert (path.stat().st_uid, path.stat().st_gid) == (65533, 65532)
    path.unlink()
    with bind(path, gid=65532):
        assert (path.stat().st_uid, path.stat().st_gid) == (0, 65532)


@needs_root
def test_nobody_can_connect_before_mode_and_owner_are_right(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    def chown(*_: object, **__: object) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            refused.append((client.connect_ex(str(path)), mode_of(path)))

    monkeypatch.setattr(os, "chown", chown)
    with bind(path, 0o660, uid=65533):
        assert refused == [(111, 0o660)]  # ECONNREFUSED


def test_only_root_can_give_it_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chown(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    with pytest.raises(ListenError, match="only root may give the socket to user id 5, group id None"):
        bind(path, uid=5)
    assert not path.exists()


def test_an_id_that_cannot_be(path: Path) -> None:
    with pytest.raises(ListenError, match=f"there is no user id {1 << 40} or no group id None"):
        bind(path, uid=1 << 40)
    assert not path.exists()


def test_a_stale_socket_is_replaced(path: Path) -> None:
    bind(path).close()
    assert path.is_socket()
    with bind(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_what_a_killed_server_left_is_stale(path: Path) -> None:
    script = """
        import os, sys
        from prefork.net.address import UnixAddress
        from prefork.net.unix import bind_unix
        sock = bind_unix(UnixAddress(sys.argv[1]), 16, None, None, None)
        print("up", flush=True)
        sys.stdin.read()
    """
    with child(script, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        with pytest.raises(
            ListenError, match=rf"cannot listen on unix:{path}: a server answers .*pid {process.pid} \("
        ):
            bind(path)
        process.kill()
        process.wait()
    with bind(path):
        pass


def test_a_server_whose_queue_is_full_is_not_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(0)
        clients = []
        while True:
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.setblocking(False)
            if client.connect_ex(str(path)) != 0:
                break
        with pytest.raises(ListenError, match="a server answers there"):
            bind(path)
        for client in clients:
            client.close()
    assert path.is_socket()


def test_a_datagram_socket_is_not_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(path))
        with pytest.raises(ListenError, match="a server answers there"):
            bind(path)


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "link", "dangling link"])
def test_what_is_no_socket_is_never_removed(path: Path, kind: str) -> None:
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        target = path.with_name("target")
        if kind == "link":
            bind(target).close()
        path.symlink_to(target)
    before = path.lstat()
    with pytest.raises(ListenError, match="the file there is no socket"):
        bind(path)
    assert path.lstat() == before


def test_two_servers_that_find_the_same_stale_socket(path: Path) -> None:
    """Both look, both see it is stale: one wins, and its socket is the one at the path."""
    script = """
        import sys
        from prefork.errors import ListenError
        from prefork.net.address import UnixAddress
        from prefork.net.unix import bind_unix
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            sock = bind_unix(UnixAddress(sys.argv[1]), 16, None, None, None)
        except ListenError:
            print("lost", flush=True)
        else:
            print("won", flush=True)
        sys.stdin.readline()
    """
    for _ in range(5):
        path.unlink(missing_ok=True)
        bind(path).close()
        with child(script, path) as one, child(script, path) as other:
            both = (one, other)
            assert all(process.stdout and process.stdout.readline() == "ready\n" for process in both)
            for process in both:
                assert process.stdin
                process.stdin.write("\n")
                process.stdin.flush()
            assert sorted(process.stdout.readline() for process in both if process.stdout) == [
                "lost\n",
                "won\n",
            ]
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))


def test_nobody_else_decides_while_we_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bind(path).close()
    locked = []

    def is_stale(_: str) -> bool:
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            locked.append(True)
        os.close(directory)
        return True

    monkeypatch.setattr(unix, "_is_stale", is_stale)
    with bind(path):
        assert locked == [True]


def test_a_directory_that_somebody_has_locked_for_good_does_not_stop_us(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix, "_LOCK_PATIENCE_S", 0.05)
    directory = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_SH)
    started = time.monotonic()
    with bind(path):
        pass
    os.close(directory)
    assert time.monotonic() - started < 10 * SLOWNESS


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cases = {
        str(
            tmp_path / "missing" / "x"
        ): rf"the directory {tmp_path}/missing does not exist \(systemd: RuntimeDirectory=\)",
        str(tmp_path / "file" / "x"): f"{tmp_path}/file is not a directory",
        "/" + "x" * 107: "the path has 108 bytes, the system allows 107",
        "@" + "ü" * 60: "the path has 121 bytes",
    }
    for path, problem in cases.items():
        with pytest.raises(ListenError, match=problem) as caught:
            bind(path)
        assert "\n" not in str(caught.value)


def test_the_longest_path(tmp_path: Path) -> None:
    directory = tmp_path
    room = unix.MAX_PATH - len(str(directory)) - 1
    if room < 1:
        pytest.skip("the temporary directory is too deep")
    path = directory / ("x" * room)
    with bind(path):
        assert path.is_socket()


@needs_root
def test_no_permission(tmp_path: Path) -> None:
    script = """
        import os, sys
        from prefork.errors import ListenError
        from prefork.net.address import UnixAddress
        from prefork.net.unix import bind_unix
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        try:
            bind_unix(UnixAddress(sys.argv[1]), 16, None, None, None)
        except ListenError as error:
            print(error)
    """
    path = tmp_path / "x"
    expected = f"cannot listen on unix:{path}: user id 65534 may not create a socket in {tmp_path}\n"
    assert run(script, path) == expected


def test_a_file_that_is_no_longer_ours_stays(path: Path) -> None:
    with bind(path):
        ours = file_id(str(path))
        assert ours is not None
        replacement = path.with_name("other")
        replacement.write_text("")
        replacement.rename(path)
        remove_socket_file(str(path), ours)
        assert path.is_file()


def test_errors_close_the_socket(path: Path) -> None:
    path.write_text("")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ListenError):
        bind(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
