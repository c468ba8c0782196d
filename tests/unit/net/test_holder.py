"""Who holds an address: tables of the kernel's as text, and real processes."""

from __future__ import annotations

import ipaddress
import itertools
import os
import socket
import sys
from pathlib import Path

import pytest

from prefork.net import holder
from prefork.net.holder import Holder, find_tcp_holder, find_unix_holder, tcp_inodes, unix_inodes
from support.child import child

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="the tables below are of such a machine")

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 111 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000    33        0 333 1 0 20 4 30 10 -1
   3: 0200007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000    44        0 444 1 0 100 0 0 10 0
broken line
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr uid
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
00000000  1000        0 555 1 0 100 0 0 10 0
   1: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
00000000     0        0 666 1 0 100 0 0 10 0
"""
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 10 /run/a.sock
0000000000000000: 00000003 00000000 00000000 0001 03 11 /run/a.sock
0000000000000000: 00000002 00000000 00010000 0001 01 12 /run/with space.sock
0000000000000000: 00000002 00000000 00010000 0001 01 13 @name
0000000000000000: 00000002 00000000 00010000 0001 01 14
"""


@little_endian
@pytest.mark.parametrize(
    ("table", "host", "port", "found"),
    [
        (TCP, "127.0.0.1", 8080, [(111, 33)]),
        (TCP, "127.0.0.2", 8080, [(444, 44)]),
        (TCP, "127.0.0.3", 8080, []),
        (TCP, "0.0.0.0", 8080, [(111, 33), (444, 44)]),
        (TCP, "10.0.0.1", 80, [(222, 0)]),
        (TCP, "127.0.0.1", 81, []),
        (TCP6, "::1", 8080, [(555, 1000)]),
        (TCP6, "::2", 8080, []),
        (TCP6, "127.0.0.1", 8081, [(666, 0)]),
        ("", "127.0.0.1", 80, []),
    ],
)
def test_tcp_tables(table: str, host: str, port: int, found: list[tuple[int, int]]) -> None:
    assert list(tcp_inodes(table, ipaddress.ip_address(host), port)) == found


@pytest.mark.parametrize(
    ("path", "found"),
    [("/run/a.sock", [10]), ("/run/with space.sock", [12]), ("@name", [13]), ("/run/b.sock", []), ("", [])],
)
def test_unix_tables(path: str, found: list[int]) -> None:
    assert list(unix_inodes(UNIX, path)) == found


LISTEN = """
    import socket, sys
    kind, where = sys.argv[1:3]
    sock = socket.socket(getattr(socket, kind))
    sock.bind(where if kind == "AF_UNIX" else (where, 0))
    sock.listen()
    print(sock.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_process_behind_a_port(host: str) -> None:
    with child(LISTEN, "AF_INET", host) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        found = find_tcp_holder("127.0.0.1", port)
        assert found is not None
        assert found.pid == process.pid
        assert found.command.startswith(sys.executable[:40])
        assert len(found.command) <= 60
        assert str(found).startswith(f"pid {process.pid} (")
        assert not found.is_us


def test_the_process_behind_a_path(tmp_path: Path) -> None:
    path = str(tmp_path / "a b")
    with child(LISTEN, "AF_UNIX", path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = find_unix_holder(path)
        assert found is not None
        assert found.pid == process.pid


def test_of_a_family_it_is_the_one_that_started_the_others() -> None:
    script = """
        import os, socket, subprocess, sys
        sock = socket.create_server(("127.0.0.1", 0))
        command = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"]
        others = [subprocess.Popen(command, pass_fds=[sock.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                  for _ in range(2)]
        for other in others:
            other.stdout.readline()
        print(sock.getsockname()[1], flush=True)
        sys.stdin.read()
        for other in others:
            other.communicate()
        print("done", flush=True)
    """
    with child(script) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        found = find_tcp_holder("127.0.0.1", port)
        assert found is not None
        assert found.pid == process.pid
        output, _ = process.communicate()
        assert output == "done\n"


def test_ourselves() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        found = find_tcp_holder("127.0.0.1", sock.getsockname()[1])
    assert found is not None
    assert found.is_us
    assert found.pid == os.getpid()


def test_ourselves_are_found_first_among_however_many() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        inode = os.fstat(sock.fileno()).st_ino
        times = itertools.chain([0.0, 0.0], itertools.repeat(holder.TIME_LIMIT_S + 0.1))
        found = holder._processes_with(frozenset({inode}), holder.PROC, clock=lambda: next(times))
        assert list(found) == [os.getpid()]


def test_nobody() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, not listening: in no table
        assert find_tcp_holder("127.0.0.1", sock.getsockname()[1]) is None


def fake_proc(root: Path) -> Path:
    (root / "self/net").mkdir(parents=True)
    (root / "self/net/tcp").write_text(TCP)
    return root


@little_endian
def test_somebody_elses_process_is_at_least_a_user(tmp_path: Path) -> None:
    found = find_tcp_holder("127.0.0.1", 8080, fake_proc(tmp_path))
    assert found == Holder(None, "", 33)
    assert str(found) == "a process of user id 33 (`ss -lntxp` as root names it)"


@little_endian
def test_commands_are_made_fit_for_a_line(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path)
    for pid, cmdline in ((50, b""), (60, b"evil\n\x1b[2J\xff\0" + b"x" * 100)):
        (proc / str(pid) / "fd").mkdir(parents=True)
        (proc / str(pid) / "fd" / "3").symlink_to("socket:[111]" if pid == 60 else "socket:[222]")
        (proc / str(pid) / "stat").write_text(f"{pid} (a) b) S 1 1")
        (proc / str(pid) / "cmdline").write_bytes(cmdline)
        (proc / str(pid) / "comm").write_text("kernel thing\n")
    found = find_tcp_holder("127.0.0.1", 8080, proc)
    assert found is not None
    assert found.command.startswith("evil??[2J")
    assert found.command.isprintable()
    assert len(found.command) == 60
    assert find_tcp_holder("10.0.0.1", 80, proc) == Holder(50, "kernel thing", None)


@little_endian
def test_the_parent_is_named_even_if_its_number_is_higher(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path)
    for pid, parent in ((50, 70), (60, 70), (70, 1)):
        (proc / str(pid) / "fd").mkdir(parents=True)
        (proc / str(pid) / "fd" / "3").symlink_to("socket:[111]")
        (proc / str(pid) / "stat").write_text(f"{pid} (x) S {parent} 1")
    found = find_tcp_holder("127.0.0.1", 8080, proc)
    assert found is not None
    assert found.pid == 70


@little_endian
def test_the_search_ends_in_time(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path)
    (proc / "50" / "fd").mkdir(parents=True)
    (proc / "50" / "fd" / "3").symlink_to("socket:[111]")
    times = iter([0.0, holder.TIME_LIMIT_S + 0.1])
    found = holder._processes_with(frozenset({111}), proc, clock=lambda: next(times))
    assert list(found) == []


def test_without_proc(tmp_path: Path) -> None:
    assert find_tcp_holder("127.0.0.1", 8080, tmp_path / "nothing") is None
    assert find_unix_holder("/run/a.sock", tmp_path / "nothing") is None
