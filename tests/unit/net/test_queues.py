"""What the kernel says about queues: read as ss(8) and nstat(8) read it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from prefork.net import sock_diag
from prefork.net.overflows import listen_overflows
from prefork.net.sock_diag import unix_queue
from prefork.net.tcp_info import accept_queue


def test_a_unix_queue(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(5)
        if (found := unix_queue(listener)) is None:
            pytest.skip("this kernel has no unix_diag")
        assert found == (0, 5)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for client in clients:
            client.connect(str(tmp_path / "s"))
        assert unix_queue(listener) == (3, 5)
        listener.accept()[0].close()
        assert unix_queue(listener) == (2, 5)
        for client in clients:
            client.close()


def test_a_tcp_queue() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listener:
        assert accept_queue(listener) == (0, 5)
        with socket.create_connection(listener.getsockname()):
            assert accept_queue(listener) == (1, 5)


@pytest.mark.parametrize("answer", [b"", b"\0" * 16, b"\x24\0\0\0\x02\0\0\0" + bytes(28), b"\xff" * 64])
def test_an_answer_that_makes_no_sense_is_none(answer: bytes) -> None:
    assert sock_diag._read(answer) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TcpExt: SyncookiesSent ListenOverflows X\nTcpExt: 0 17 3\nIpExt: A\nIpExt: 1\n", 17),
        ("IpExt: A\nIpExt: 1\n", None),
        ("TcpExt: ListenOverflows\n", None),
        ("", None),
    ],
)
def test_overflows(tmp_path: Path, text: str, expected: int | None) -> None:
    path = tmp_path / "netstat"
    path.write_text(text)
    assert listen_overflows(path) == expected
    assert listen_overflows(tmp_path / "nowhere") is None
