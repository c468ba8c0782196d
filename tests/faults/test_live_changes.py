"""Everything that can change while the server runs, changed under load: no request fails, before, during or after."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import http
from support.deadline import eventually
from support.load import Load
from support.server import Server

from .conftest import deploy

Deployed = Callable[..., Server]

APP = """
def app(environ, start_response):
    size = len(environ["wsgi.input"].read())
    body = f"{VERSION} {size} {os.environ.get('WRAPPED', 'bare')}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

other = app
"""


@pytest.fixture
def server(deployed: Deployed) -> Server:
    return deployed(workers=2, body=APP)


def reload(server: Server) -> None:
    """`prefork reload --wait`, under load that notices every lost request."""
    with Load(server.address, keep_alive=16, fresh=8, pace_s=0.02) as load:
        phase = load.begin("reload")
        load.wait_for(50)
        done = server.command("reload", "--wait")
        load.wait_for(50)
    assert done.returncode == 0, done.stderr
    assert not phase.failures, phase.failures[:5]


def answers(address: str) -> bool:
    with http.connect(address) as connection:
        return connection.get("/", [("Connection", "close")]).status == 200


def refuses(address: str) -> bool:
    try:
        http.connect(address).close()
    except OSError:
        return True
    return False


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_addresses_come_and_go_and_come_back(server: Server, tmp_path: Path) -> None:
    tcp, unix = f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/s.sock"
    server.configure({"server": {"listen": ["127.0.0.1:0", tcp, unix]}})
    reload(server)
    assert answers(tcp)
    assert answers(unix)
    server.configure({"server": {"listen": ["127.0.0.1:0"]}})
    reload(server)
    # The parked generation has them, but not open: nobody waits in a queue that nobody looks at.
    eventually(lambda: refuses(tcp), "the end of a removed address")
    assert refuses(unix)
    with Load(server.address, keep_alive=16, fresh=8, pace_s=0.02) as load:
        phase = load.begin("rollback")
        done = server.command("rollback", "--wait")
        load.wait_for(50)
    assert done.returncode == 0, done.stderr
    assert not phase.failures, phase.failures[:5]
    assert answers(tcp)
    assert answers(unix)
    # And away with them once more: the other generation is back.
    assert server.command("rollback", "--wait").returncode == 0
    eventually(lambda: refuses(tcp), "the end of a removed address")
    assert refuses(unix)
    assert answers(server.address)


def test_a_rollback_to_an_address_that_somebody_took_is_refused(server: Server) -> None:
    port = free_port()
    server.configure({"server": {"listen": ["127.0.0.1:0", f"127.0.0.1:{port}"]}})
    server.reload()
    server.configure({"server": {"listen": ["127.0.0.1:0"]}})
    server.reload()
    server.wait_for_workers(2, gen=3)
    eventually(lambda: refuses(f"127.0.0.1:{port}"), "the end of a removed address")
    with socket.create_server(("127.0.0.1", port)):
        done = server.command("rollback", "--wait")
        assert done.returncode == 1
        assert "the address is in use" in done.stderr
        assert answers(server.address)
    # It is still kept.
    assert server.command("rollback", "--wait").returncode == 0
    assert answers(f"127.0.0.1:{port}")


def test_mode_and_queue_of_a_socket_that_stays(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    entry = {"address": f"unix:{path}", "mode": "0600"}
    server.configure({"server": {"listen": ["127.0.0.1:0", entry], "backlog": 64}})
    reload(server)
    inode = path.stat().st_ino
    server.configure({"server": {"listen": ["127.0.0.1:0", {**entry, "mode": "0666"}], "backlog": 7}})
    reload(server)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert path.stat().st_ino == inode
    assert queue_length(server.address) == 7
    assert server.command("rollback", "--wait").returncode == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert queue_length(server.address) == 64


def queue_length(address: str) -> int:
    """What listen(2) was told: the send queue of a listening socket (inet_diag), as `ss -lnt` shows it."""
    port = int(address.rpartition(":")[2])
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as sock:
        # struct nlmsghdr, inet_diag_req_v2 (linux/inet_diag.h): a dump of TCP sockets in state LISTEN.
        request = (
            bytes([socket.AF_INET, socket.IPPROTO_TCP, 0, 0])
            + (1 << 10).to_bytes(4, sys.byteorder)
            + bytes(48)
        )
        header = (16 + len(request)).to_bytes(4, sys.byteorder) + (20).to_bytes(2, sys.byteorder)
        header += (0x301).to_bytes(2, sys.byteorder) + bytes(8)
        sock.send(header + request)
        while True:
            data = sock.recv(1 << 16)
            while len(data) >= 16:
                length = int.from_bytes(data[:4], sys.byteorder)
                kind = int.from_bytes(data[4:6], sys.byteorder)
                if kind in (2, 3):
                    raise AssertionError(f"no listening socket on port {port}")
                message = data[16:length]
                if int.from_bytes(message[4:6], "big") == port:
                    # inet_diag_msg: 4 bytes, inet_diag_sockid (48), expires, rqueue, wqueue.
                    return int.from_bytes(message[60:64], sys.byteorder)
                data = data[(length + 3) & ~3 :]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_a_socket_that_stays(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    server.configure({"server": {"listen": ["127.0.0.1:0", {"address": f"unix:{path}", "user": "65534"}]}})
    reload(server)
    assert path.stat().st_uid == 65534
    server.configure({"server": {"listen": ["127.0.0.1:0", {"address": f"unix:{path}", "group": "65534"}]}})
    reload(server)
    assert (path.stat().st_uid, path.stat().st_gid) == (0, 65534)


def test_counts_and_limits(server: Server) -> None:
    server.configure({"workers": {"count": 4, "threads": 2}, "requests": {"max_body": 10}})
    reload(server)
    server.wait_for_workers(4, gen=2)
    assert server.request("POST", "/", body=b"x" * 11).status == 413
    server.configure({"workers": {"count": 1, "threads": 1}, "requests": {"max_body": 100}})
    reload(server)
    server.wait_for_workers(1, gen=3)
    assert server.request("POST", "/", body=b"x" * 11).body == b"v1 11 bare"


def test_log_files(server: Server, tmp_path: Path) -> None:
    server.configure({"log": {"access": str(tmp_path / "access.log")}})
    reload(server)
    server.get("/first")
    eventually(lambda: "/first" in (tmp_path / "access.log").read_text(), "the access line")
    server.configure({"log": {"access": str(tmp_path / "other.log")}})
    reload(server)
    server.get("/second")
    eventually(lambda: "/second" in (tmp_path / "other.log").read_text(), "the access line")
    assert "/second" not in (tmp_path / "access.log").read_text()
    # A parked generation writes where it did, also after a rotation.
    (tmp_path / "access.log").rename(tmp_path / "access.log.1")
    server.signal(signal.SIGUSR1)
    server.wait_for_event("logs_reopened")
    assert server.command("rollback", "--wait").returncode == 0
    server.get("/third")
    eventually(lambda: "/third" in (tmp_path / "access.log").read_text(), "the access line")


def test_the_application(server: Server) -> None:
    deploy(server, "v2", APP)
    server.configure({"app": {"target": "release:other"}})
    reload(server)
    assert server.get("/").body == b"v2 0 bare"


def test_the_interpreter(server: Server, tmp_path: Path) -> None:
    """As of another virtual environment."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nWRAPPED=wrapped exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    server.configure({"app": {"python": str(python)}})
    reload(server)
    assert server.get("/").body == b"v1 0 wrapped"
    assert server.command("rollback", "--wait").returncode == 0
    assert server.get("/").body == b"v1 0 bare"


@pytest.mark.parametrize(
    ("tables", "key"),
    [
        ({"server": {"name": "other"}}, "server.name"),
        ({"server": {"pid_file": "other.pid"}}, "server.pid_file"),
        ({"server": {"control": "other.sock"}}, "server.control"),
    ],
)
def test_what_cannot_change_is_refused_with_the_reason(
    server: Server, tables: dict[str, dict[str, str]], key: str
) -> None:
    before = server.workers()
    server.configure({**tables, "workers": {"count": 3}})
    # By its path: the settings file says another one now.
    path = server.wait_for_event("control_listening")["path"]
    done = server.command("reload", "--wait", "--control", path)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if key in line]
    assert "cannot change while the server runs: " in line
    assert server.workers() == before
