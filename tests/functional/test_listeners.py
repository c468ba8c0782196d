"""Listening on several addresses at once, with what the files of unix sockets must be like."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from support.server import ServerFactory


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_tcp_and_unix_at_once(serve: ServerFactory, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    listen = ["127.0.0.1:0", "127.0.0.1:0", {"address": f"unix:{path}", "mode": "0620"}]
    server = serve("probe:app", workers=2, settings={"server": {"listen": listen}})
    assert len(set(server.addresses)) == 3
    for address in server.addresses:
        with server.connect(address) as connection:
            assert connection.get("/").body == b"Hello, World!"
    assert stat.S_IMODE(path.stat().st_mode) == 0o620
    assert server.stop() == 0
    assert not path.exists()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6(serve: ServerFactory) -> None:
    server = serve("probe:app", settings={"server": {"listen": ["[::1]:0"]}})
    assert server.address.startswith("[::1]:")
    with server.connect() as connection:
        assert b'"REMOTE_ADDR": "::1"' in connection.get("/environ").body


def test_every_listener_survives_a_reload(serve: ServerFactory, tmp_path: Path) -> None:
    listen = ["127.0.0.1:0", f"unix:{tmp_path / 'app.sock'}"]
    server = serve("probe:app", settings={"server": {"listen": listen}})
    addresses = server.addresses
    inode = (tmp_path / "app.sock").stat().st_ino
    assert server.reload() == 2
    for address in addresses:
        with server.connect(address) as connection:
            assert connection.get("/").status == 200
    assert (tmp_path / "app.sock").stat().st_ino == inode, "a bound socket is never bound again"


def test_a_dead_socket_file_is_replaced(serve: ServerFactory, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = serve("probe:app", settings={"server": {"listen": [f"unix:{path}"]}})
    assert server.get("/").status == 200


def test_an_address_in_use_is_exit_71_and_says_which(
    serve: ServerFactory, server_factory: ServerFactory
) -> None:
    address = serve("probe:app").address
    second = server_factory({"app": {"target": "probe:app"}, "server": {"listen": [address]}})
    assert second.wait() == 71
    assert address in second.log.text
    assert "Traceback" not in second.log.text
