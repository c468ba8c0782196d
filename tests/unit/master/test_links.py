"""The one wait of the master."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from prefork.master.links import Links


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("timeout_s", [0.0, 30 * 86_400.0, 366 * 86_400.0, float("inf"), None])
def test_any_wait_ends_when_something_happens(
    timeout_s: float | None, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    theirs.sendall(b"x")
    links = Links(ours)  # type: ignore[arg-type]
    links.wait(timeout_s)
    assert ours.recv(1) == b"x"
