"""The control socket: clients that are silent, slow, loud or many cost the master nothing."""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefork.errors import ListenError
from prefork.ipc.control import (
    MAX_REPLY,
    MAX_REQUEST,
    PauseRequest,
    Progress,
    Result,
    StatusRequest,
    decode_reply,
    encode,
)
from prefork.master import control as module
from prefork.master.control import MAX_CLIENTS, PATIENCE_S, PAUSE_S, Client, ControlSocket, open_control
from support.deadline import DEADLINE_S, SLOWNESS
from support.serving import FakeClock

Connect = Callable[[], socket.socket]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def control(tmp_path: Path, clock: FakeClock) -> Iterator[ControlSocket]:
    made, unavailable = open_control(str(tmp_path / "c.sock"), clock)
    assert not unavailable
    yield made
    made.close(Result(ok=False, error="over"))


@pytest.fixture
def connect(control: ControlSocket) -> Iterator[Connect]:
    made: list[socket.socket] = []

    def call() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(DEADLINE_S * SLOWNESS)
        assert control.path is not None
        sock.connect(control.path)
        made.append(sock)
        return sock

    yield call
    for sock in made:
        sock.close()


def taken(control: ControlSocket) -> list[tuple[Client, object]]:
    """What arrives until nothing is left to do."""
    found: list[tuple[Client, object]] = []
    while select.select([control], [], [], 0)[0]:
        found += control.take()
    found += control.take()
    return found


def result_of(sock: socket.socket) -> Result:
    """The last reply, at the end of the connection."""
    data = b""
    while chunk := sock.recv(1 << 20):
        data += chunk
    reply = decode_reply(data.splitlines()[-1])
    assert isinstance(reply, Result)
    return reply


def test_a_request_arrives_and_its_result_ends_the_connection(
    control: ControlSocket, connect: Connect
) -> None:
    sock = connect()
    sock.sendall(encode(StatusRequest()))
    ((client, request),) = taken(control)
    assert request == StatusRequest()
    client.tell(Progress(level="info", event="step"))
    client.tell(Result(ok=True, text="done"))
    assert result_of(sock).text == "done"
    assert client.is_gone
    client.tell(Progress(level="info", event="too late"))
    assert control.deadline is None


def test_a_request_may_come_in_pieces_and_its_sender_may_say_that_it_was_all(
    control: ControlSocket, connect: Connect
) -> None:
    sock = connect()
    line = encode(PauseRequest())
    for piece in (line[:5], line[5:-1]):
        sock.sendall(piece)
        assert taken(control) == []
    sock.sendall(line[-1:])
    sock.shutdown(socket.SHUT_WR)
    ((client, request),) = taken(control)
    assert request == PauseRequest()
    assert taken(control) == []
    client.tell(Result(ok=True))
    assert result_of(sock).ok


def test_a_silent_client_is_sent_away(control: ControlSocket, connect: Connect, clock: FakeClock) -> None:
    sock = connect()
    assert taken(control) == []
    assert control.deadline == clock.now + PATIENCE_S
    clock.now += PATIENCE_S
    assert taken(control) == []
    assert sock.recv(1) == b""
    assert control.deadline is None


def test_one_who_waits_for_a_result_may_wait(
    control: ControlSocket, connect: Connect, clock: FakeClock
) -> None:
    sock = connect()
    sock.sendall(encode(StatusRequest()))
    ((client, _),) = taken(control)
    clock.now += 3600
    assert taken(control) == []
    client.tell(Result(ok=True, text="at last"))
    assert result_of(sock).text == "at last"


def test_one_who_leaves_while_waiting_is_forgotten(control: ControlSocket, connect: Connect) -> None:
    sock = connect()
    sock.sendall(encode(StatusRequest()))
    ((client, _),) = taken(control)
    sock.close()
    assert taken(control) == []
    assert client.is_gone
    client.tell(Result(ok=True))


def test_one_who_reads_nothing_is_sent_away_and_costs_bounded_memory(
    control: ControlSocket, connect: Connect, clock: FakeClock
) -> None:
    sock = connect()
    sock.sendall(encode(StatusRequest()))
    ((client, _),) = taken(control)
    step = Progress(level="info", event="step", fields={"text": "x" * 100_000})
    for _ in range(100):
        client.tell(step)
    assert client.is_gone
    assert len(client.output) <= MAX_REPLY + 200_000
    other = connect()
    other.sendall(encode(StatusRequest()))
    ((second, _),) = taken(control)
    for _ in range(20):
        second.tell(step)
    assert not second.is_gone
    clock.now += PATIENCE_S
    taken(control)
    assert second.is_gone


def test_a_slow_reader_gets_everything(control: ControlSocket, connect: Connect) -> None:
    sock = connect()
    sock.sendall(encode(StatusRequest()))
    ((client, _),) = taken(control)
    for _ in range(20):
        client.tell(Progress(level="info", event="step", fields={"text": "x" * 100_000}))
    client.tell(Result(ok=True, text="all"))
    data = b""
    while not data.endswith(b"}\n") or b'"all"' not in data[-300:]:
        data += sock.recv(50_000)
        taken(control)
    assert len(data.splitlines()) == 21
    assert sock.recv(1) == b""


def test_an_answer_that_is_too_long_becomes_an_error(control: ControlSocket, connect: Connect) -> None:
    sock = connect()
    sock.sendall(encode(StatusRequest()))
    ((client, _),) = taken(control)
    client.tell(Result(ok=True, text="x" * (MAX_REPLY + 1)))
    assert "longer than" in result_of(sock).error


@pytest.mark.parametrize(
    ("sent", "word"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "one request"),
        (b"nonsense\n", "no request of version 1"),
        (encode(StatusRequest()) * 2, "one request"),
        (b"x" * (MAX_REQUEST + 1), "longer than"),
    ],
)
def test_nonsense_is_answered_with_the_reason(
    control: ControlSocket, connect: Connect, sent: bytes, word: str
) -> None:
    sock = connect()
    sock.sendall(sent)
    assert taken(control) == []
    assert word in result_of(sock).error


def test_more_than_enough_clients_are_told_so(control: ControlSocket, connect: Connect) -> None:
    socks = []
    for _ in range(MAX_CLIENTS):
        socks.append(connect())
        taken(control)
    late = connect()
    taken(control)
    assert "others are connected" in result_of(late).error
    socks[0].close()
    taken(control)
    again = connect()
    again.sendall(encode(StatusRequest()))
    assert len(taken(control)) == 1


def test_out_of_descriptors_it_pauses_instead_of_spinning(
    control: ControlSocket, connect: Connect, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: object) -> None:
        raise OSError(errno.EMFILE, "no more")

    with monkeypatch.context() as patch:
        patch.setattr(module.Listener, "accept", refuse)
        sock = connect()
        list(control.take())
        assert not select.select([control], [], [], 0)[0]
        assert control.deadline == clock.now + PAUSE_S
    clock.now += PAUSE_S
    sock.sendall(encode(StatusRequest()))
    assert len(taken(control) + taken(control)) == 1


def test_only_root_and_the_same_user_may_ask(
    control: ControlSocket, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CREDENTIALS", FakeCredentials(uid=12345))
    sock = connect()
    taken(control)
    assert f"only root and user id {os.geteuid()}" in result_of(sock).error


class FakeCredentials:
    size = 12

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def unpack(self, _data: bytes) -> tuple[int, int, int]:
        return (1, self._uid, 1)


# the file -----------------------------------------------------------------------------------------------------------


def test_the_file_is_private_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    control, _ = open_control(str(path), FakeClock())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE_S * SLOWNESS)
        sock.connect(str(path))
        sock.sendall(encode(StatusRequest()))
        ((client, _),) = taken(control)
        assert not client.is_gone
        control.close(Result(ok=False, error="the server has ended"))
        assert result_of(sock).error == "the server has ended"
    assert not path.exists()
    control.close(Result(ok=True))


def test_a_stale_file_is_replaced_a_living_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "c.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    control, _ = open_control(path, FakeClock())
    with pytest.raises(ListenError, match="a server answers there"):
        open_control(path, FakeClock())
    control.close(Result(ok=True))


def test_off_is_a_socket_that_nobody_reaches(tmp_path: Path) -> None:
    control, unavailable = open_control("off", FakeClock())
    assert control.path is None
    assert not unavailable
    assert taken(control) == []
    control.close(Result(ok=True))


def test_the_default_directory_is_made_and_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    monkeypatch.setattr(module, "control_directories", lambda: (str(first), str(second)))
    control, unavailable = open_control(str(first / "a.sock"), FakeClock())
    assert not unavailable
    assert stat.S_IMODE(first.stat().st_mode) == 0o700
    control.close(Result(ok=True))
    # Somebody else could have put a socket of theirs into such a directory: the next place is taken.
    first.chmod(0o777)
    control, unavailable = open_control(str(first / "a.sock"), FakeClock())
    assert control.path == str(second / "a.sock")
    control.close(Result(ok=True))
    second.rmdir()
    second.symlink_to(first)
    control, unavailable = open_control(str(first / "a.sock"), FakeClock())
    assert control.path is None
    assert f"{first} is not a directory that only" in unavailable
    assert f"{second} is not a directory that only" in unavailable
    control.close(Result(ok=True))
