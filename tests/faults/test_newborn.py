"""The interpreter that is born before the master has read its settings: taken, or gone without a word."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import processes
from support.deadline import Deadline, eventually
from support.server import Server, ServerFactory

HELLO = {"app": {"target": "whoami:app"}}


@pytest.fixture
def born(tmp_path: Path) -> Path:
    """Where every interpreter that sees `seen_by` writes its pid."""
    path = tmp_path / "born"
    path.touch()
    return path


def seen_by(born: Path, *statements: str) -> dict[str, str]:
    """An environment in which each interpreter tells that it is there, and runs `statements`, before anything of ours."""
    folder = born.parent / "site"
    folder.mkdir()
    lines = [
        "import os",
        f"with open({str(born)!r}, 'a') as file: file.write(f'{{os.getpid()}}\\n')",
        *statements,
    ]
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


def pids(born: Path) -> list[int]:
    return [int(line) for line in born.read_text().split()]


@pytest.fixture
def waiting(server_factory: ServerFactory, born: Path) -> Iterator[Callable[[], tuple[Server, int]]]:
    """A master that waits for its settings, and the interpreter that waits for it."""

    fifo = born.parent / "settings.toml"
    os.mkfifo(fifo)
    writers: list[int] = []

    def is_read() -> bool:
        try:
            writers.append(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def start() -> tuple[Server, int]:
        server = server_factory({}, argv=["-c", str(fifo)], environment=seen_by(born))
        eventually(is_read, "the master reads its settings")
        eventually(lambda: len(pids(born)) == 2, "a second interpreter")
        (other,) = set(pids(born)) - {server.pid}
        return server, other

    yield start
    for fd in writers:
        os.close(fd)


def test_it_becomes_the_zygote(server_factory: ServerFactory, born: Path) -> None:
    server = server_factory(HELLO, environment=seen_by(born)).wait_ready()
    zygote = int(server.wait_for_event("zygote_ready")["pid"])
    assert pids(born) == [server.pid, zygote]
    assert processes.command_line(zygote).startswith("prefork: zygote gen 1")


def test_with_another_environment_there_is_another_and_nothing_is_left_of_the_first(
    server_factory: ServerFactory, born: Path
) -> None:
    settings = {"app": {"target": "whoami:app", "env": {"COLOUR": "blue"}}}
    server = server_factory(settings, environment=seen_by(born)).wait_ready()
    zygote = int(server.wait_for_event("zygote_ready")["pid"])
    assert zygote in pids(born)
    # It may have been ended before it could say that it was there.
    for other in set(pids(born)) - {server.pid, zygote}:
        assert processes.read_process(other) is None, "not even a zombie"


def test_wrong_settings_are_all_that_is_told(server_factory: ServerFactory, born: Path) -> None:
    server = server_factory({"workers": {"count": "many"}}, environment=seen_by(born))
    assert server.wait() == 78
    assert all(line.startswith("prefork: ") for line in server.log.lines)
    assert not any(map(processes.is_alive, pids(born)))


def test_it_leaves_when_the_master_is_killed(waiting: Callable[[], tuple[Server, int]]) -> None:
    server, other = waiting()
    server.signal(signal.SIGKILL)
    assert processes.wait_gone(other, Deadline())
    assert not server.log.lines


def test_ctrl_c_is_no_traceback(waiting: Callable[[], tuple[Server, int]]) -> None:
    server, other = waiting()
    os.killpg(server.pid, signal.SIGINT)
    assert server.wait() == 130
    assert processes.wait_gone(other, Deadline())
    assert not server.log.lines


def test_it_does_not_hold_what_the_master_was_given(server_factory: ServerFactory, born: Path) -> None:
    # As systemd and shells hand over descriptors: inherited by number, not close-on-exec.
    server = server_factory(
        HELLO,
        executable=["/bin/sh", "-c", 'exec "$0" "$@" 9>&1', sys.executable, "-m", "prefork"],
        environment=seen_by(born),
    ).wait_ready()
    zygote = int(server.wait_for_event("zygote_ready")["pid"])
    given = Path(f"/proc/{server.pid}/fd/9").stat().st_ino
    held = [
        fd
        for fd in processes.descriptors(zygote)
        if fd > 2 and Path(f"/proc/{zygote}/fd/{fd}").stat().st_ino == given
    ]
    assert held == []


def test_descriptors_that_something_else_has_opened_make_way(
    server_factory: ServerFactory, born: Path
) -> None:
    # As a debugger or an agent does that a .pth file starts.
    opened = "kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]"
    in_zygote = f"import sys\nif sys.orig_argv[1] == '-c':\n    {opened}"
    server = server_factory(HELLO, environment=seen_by(born, in_zygote)).wait_ready()
    zygote = int(server.wait_for_event("zygote_ready")["pid"])
    assert pids(born) == [server.pid, zygote, zygote], "it executed itself once more"
    assert server.get().status == 200


def test_more_listeners_than_a_packet_takes(server_factory: ServerFactory, tmp_path: Path) -> None:
    listen = [f"unix:{tmp_path}/{number}" for number in range(260)]
    server_factory({**HELLO, "server": {"listen": listen}}).wait_ready()
    for number in (0, 130, 259):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(Deadline().remaining())
            sock.connect(f"{tmp_path}/{number}")
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert sock.recv(12) == b"HTTP/1.1 200"
