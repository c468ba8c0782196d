"""`Listener.accept` is `socket.accept`, whichever way it goes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from prefork.worker import listener
from prefork.worker.listener import Listener


@pytest.mark.parametrize("short", [True, False], ids=["short way", "inherited"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def test_accept(short: bool, family: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_HAS_ACCEPT", short and listener._HAS_ACCEPT)
    with socket.socket(family) as bound, socket.socket(family) as client:
        bound.bind(str(tmp_path / "sock") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        bound.listen(1)
        with Listener(fileno=bound.detach()) as door:
            client.connect(door.getsockname())
            taken, peer = door.accept()
            with taken:
                assert (taken.family, taken.type) == (client.family, client.type)
                assert peer == client.getsockname()
                assert not taken.get_inheritable()
                client.sendall(b"heard")
                assert taken.recv(100) == b"heard"
            door.setblocking(False)
            with pytest.raises(BlockingIOError):
                door.accept()


def test_this_python_has_the_short_way() -> None:
    assert listener._HAS_ACCEPT, "socket.accept is made in another way now: look whether Listener still pays"
