"""The pid file: who holds it, what is stale, and what a reader may see."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from prefork.errors import AlreadyRunningError, ConfigError
from prefork.master import pidfile
from prefork.master.pidfile import PidFile
from support.child import child, run

HOLD = """
    import sys
    from prefork.errors import AlreadyRunningError
    from prefork.master.pidfile import PidFile
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        held = PidFile.acquire(sys.argv[1])
    except AlreadyRunningError as error:
        print("refused", error, flush=True)
    else:
        print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.pid"


@pytest.fixture
def held(path: Path) -> Iterator[PidFile]:
    made = PidFile.acquire(path)
    yield made
    made.release()


def test_it_holds_the_number_and_is_removed_at_the_end(path: Path) -> None:
    held = PidFile.acquire(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o644 & ~umask()
    held.release()
    assert not path.exists()
    held.release()


def umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def test_a_living_server_keeps_it(path: Path) -> None:
    with child(HOLD, path) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "held\n"]
        before = path.read_text()
        with pytest.raises(
            AlreadyRunningError, match=rf"pid file {path} \(pid {process.pid}\); stop it, or"
        ) as caught:
            PidFile.acquire(path)
        assert caught.value.exit_code == 71
        assert path.read_text() == before == f"{process.pid}\n"


def test_a_killed_server_leaves_it_to_the_next(path: Path) -> None:
    with child(HOLD, path) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "held\n"]
        process.kill()
        process.wait()
    assert path.read_text() == f"{process.pid}\n"
    held = PidFile.acquire(path)
    assert path.read_text() == f"{os.getpid()}\n"
    held.release()


@pytest.mark.parametrize("content", ["", "1\n", "99999999999\n", " 7 "])
def test_a_stale_one_is_taken_over_whatever_process_has_its_number(path: Path, content: str) -> None:
    """Pid 1 lives, and has nothing to do with it."""
    path.write_text(content)
    held = PidFile.acquire(path)
    assert path.read_text() == f"{os.getpid()}\n"
    held.release()


def test_the_holder_may_not_have_written_its_number_yet(path: Path, held: PidFile) -> None:
    os.truncate(path, 0)
    with pytest.raises(AlreadyRunningError, match="it is just starting"):
        PidFile.acquire(path)


def open_fds() -> set[str]:
    # The listing's own descriptor is closed by the time it is looked at.
    return {entry.name for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}


def test_no_other_process_inherits_the_lock(path: Path) -> None:
    before = open_fds()
    held = PidFile.acquire(path)
    (fd,) = open_fds() - before
    assert not os.get_inheritable(int(fd))
    held.release()
    assert open_fds() == before


def test_a_reader_never_sees_half_a_number(path: Path) -> None:
    path.write_text("1234567890\n")
    seen = set()
    stop = threading.Event()
    reading = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                seen.add(path.read_text())
            except FileNotFoundError:
                seen.add("")
            reading.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert reading.wait(30)
    for _ in range(300):
        PidFile.acquire(path).release()
    stop.set()
    reader.join()
    assert seen <= {"", "1234567890\n", f"{os.getpid()}\n"}


def test_the_number_is_written_in_one_piece_into_an_empty_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("1234567890\n")
    states = []
    real = os.pwrite

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        states.append(path.read_bytes())
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    held = PidFile.acquire(path)
    monkeypatch.undo()
    assert states == [b""]
    held.release()


def test_the_file_of_the_next_server_is_not_removed(path: Path, held: PidFile) -> None:
    path.unlink()
    with child(HOLD, path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "held\n"]
        held.release()
        assert path.read_text() == f"{process.pid}\n"


def test_release_when_the_file_or_its_directory_is_gone(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    held = PidFile.acquire(directory / "x.pid")
    (directory / "x.pid").unlink()
    directory.rmdir()
    held.release()


def test_a_file_that_goes_away_between_opening_and_locking(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server just stopped: a lock on a removed file would keep nobody out."""
    stopping = PidFile.acquire(path)
    real = pidfile.fcntl.flock
    calls = 0

    def flock(fd: int, operation: int) -> None:
        nonlocal calls
        calls += 1
        stopping.release()
        real(fd, operation)

    monkeypatch.setattr(pidfile.fcntl, "flock", flock)
    held = PidFile.acquire(path)
    monkeypatch.undo()
    assert calls == 2
    assert path.read_text() == f"{os.getpid()}\n"
    with pytest.raises(AlreadyRunningError):
        PidFile.acquire(path)
    held.release()


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_starters_one_wins(path: Path, stale: bool) -> None:
    if stale:
        path.write_text("1\n")
    with ExitStack() as stack:
        starters = [stack.enter_context(child(HOLD, path)) for _ in range(4)]
        for process in starters:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in starters:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        answers = {process.pid: process.stdout.readline() for process in starters if process.stdout}
        winners = [pid for pid, answer in answers.items() if answer == "held\n"]
        assert len(winners) == 1
        assert path.read_text() == f"{winners[0]}\n"
        assert all(answer.startswith(("held", "refused another server holds")) for answer in answers.values())


@pytest.mark.parametrize("content", ["root:x:0:0:root:/root:/bin/sh\n", "x", "1" * 40, "-1\n", "1 2\n"])
def test_a_file_that_is_no_pid_file_is_left_alone(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(ConfigError, match=f"server.pid_file = '{path}': there is a file that is no pid file"):
        PidFile.acquire(path)
    assert path.read_text() == content


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("")
    before = open_fds()
    cases = {
        tmp_path
        / "missing"
        / "x.pid": rf"the directory {tmp_path}/missing does not exist \(systemd: RuntimeDirectory=\)",
        tmp_path: "is a directory",
        tmp_path / "fifo": "there is a file that is no pid file",
        tmp_path / "file" / "x.pid": "not a directory",
        Path("/dev/full"): "there is a file that is no pid file",
    }
    for path, problem in cases.items():
        with pytest.raises(ConfigError, match=problem) as caught:
            PidFile.acquire(path)
        assert str(caught.value).startswith(f"server.pid_file = '{path}': ")
        assert "\n" not in str(caught.value)
    assert open_fds() == before


def test_a_full_disk_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(ConfigError, match="no space left on device"):
        PidFile.acquire(path)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_no_permission(path: Path) -> None:
    script = """
        import os, sys
        from prefork.errors import ConfigError
        from prefork.master.pidfile import PidFile
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        try:
            PidFile.acquire(sys.argv[1])
        except ConfigError as error:
            print(error)
    """
    assert run(script, path) == f"server.pid_file = '{path}': user id 65534 may not write it\n"
