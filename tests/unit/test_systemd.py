"""The protocols between systemd and a service: variables, messages, descriptors, a manager that is slow or away."""

from __future__ import annotations

import array
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.systemd import (
    LONGEST_MESSAGE,
    LONGEST_QUEUE,
    LONGEST_STATUS,
    Notifier,
    PassedFd,
    message,
    stored_name,
    take,
)
from prefork.variables import FROM_SYSTEMD

PID = 4711


class Manager:
    """The other end."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(30)
        self.sock.bind(address.replace("@", "\0", 1))

    def hear(self) -> tuple[bytes, list[int]]:
        data, ancillary, _, _ = self.sock.recvmsg(LONGEST_MESSAGE + 1, socket.CMSG_SPACE(64))
        fds = array.array("i")
        for _, _, rights in ancillary:
            fds.frombytes(rights)
        return data, list(fds)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@prefork-test-{os.getpid()}")
    yield made
    made.sock.close()


# -- variables -----------------------------------------------------------------------------------------------------------


def test_what_is_taken_is_gone() -> None:
    environ = dict.fromkeys(FROM_SYSTEMD, "1") | {"PATH": "/bin", "JOURNAL_STREAM": "1:2"}
    take(environ, PID)
    assert environ == {"PATH": "/bin", "JOURNAL_STREAM": "1:2"}


def test_nothing_is_said_without_systemd() -> None:
    told = take({}, PID)
    assert (told.notify_socket, told.watchdog_s, told.store, told.fds, dict(told.environ)) == (
        "",
        0.0,
        False,
        (),
        {},
    )


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "4711"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "4712"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_watchdog_is_for_one_process(variables: dict[str, str], seconds: float) -> None:
    assert take({"NOTIFY_SOCKET": "/n", **variables}, PID).watchdog_s == seconds


@pytest.mark.parametrize(
    ("variables", "passed"),
    [
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "2"}, [(3, "unknown"), (4, "unknown")]),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:"}, [(3, "http"), (4, "")]),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a"}, [(3, "a"), (4, "unknown")]),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a:b:c"}, [(3, "a")]),
        ({"LISTEN_PID": "4712", "LISTEN_FDS": "2"}, []),
        ({"LISTEN_FDS": "2"}, []),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "many"}, []),
        ({"LISTEN_PID": "4711", "LISTEN_FDS": "1000000000"}, []),
        ({"LISTEN_PID": "4711"}, []),
    ],
)
def test_descriptors_are_for_one_process(variables: dict[str, str], passed: list[tuple[int, str]]) -> None:
    assert list(take(dict(variables), PID).fds) == [PassedFd(*each) for each in passed]


def test_whether_descriptors_may_be_kept() -> None:
    assert take({"NOTIFY_SOCKET": "/n"}, PID).store, "before systemd 254 nobody says"
    assert take({"NOTIFY_SOCKET": "/n", "FDSTORE": "64"}, PID).store
    assert not take({"NOTIFY_SOCKET": "/n", "FDSTORE": "0"}, PID).store
    assert not take({}, PID).store


def test_the_next_program_is_told_all_but_the_descriptors() -> None:
    told = take({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1", "LISTEN_FDS": "1", "LISTEN_PID": "4711"}, PID)
    assert told.environ == {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1"}


# -- the form of what is said --------------------------------------------------------------------------------------------


def test_a_value_cannot_become_another_message() -> None:
    assert (
        message(STATUS="failed:\nREADY=1\r\n\tMAINPID=1", ERRNO=98)
        == b"STATUS=failed: READY=1 MAINPID=1\nERRNO=98"
    )


@given(st.text(max_size=3 * LONGEST_STATUS))
def test_a_status_is_one_readable_line(text: str) -> None:
    data = message(STATUS=text)
    assert data.count(b"\n") == 0 and len(data) <= LONGEST_MESSAGE
    assert len(data.decode()) <= LONGEST_STATUS + len("STATUS=")


@given(st.text(max_size=200), st.text(max_size=200))
def test_names_of_descriptors_are_what_systemd_takes(asked: str, real: str) -> None:
    name = stored_name(asked, real)
    assert PassedFd(3, name).is_stored
    # fdname_is_valid() in systemd's src/basic/fd-util.c
    assert len(name) <= 255 and all(" " <= character < "\x7f" and character != ":" for character in name)


def test_names_of_descriptors_tell_them_apart() -> None:
    names = {
        stored_name("a:0", "a:1"),
        stored_name("a:0", "a:2"),
        stored_name("b:0", "a:1"),
        stored_name("a:0", "a:1", "1:2"),
    }
    assert len(names) == 4


# -- sending -------------------------------------------------------------------------------------------------------------


def test_messages_arrive_with_their_descriptors(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    assert notifier and not notifier.is_waiting
    read, write = os.pipe()
    notifier.send(message(FDSTORE=1, FDNAME="x"), [write])
    os.close(write)
    data, (got,) = manager.hear()
    assert data == b"FDSTORE=1\nFDNAME=x"
    os.write(got, b"hello")
    assert os.read(read, 5) == b"hello"
    os.close(got)
    os.close(read)
    notifier.close()


def test_a_full_queue_costs_no_message(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    sent = 0
    while not notifier.is_waiting:
        notifier.send(message(STATUS=sent))
        sent += 1
    notifier.send(message(READY=1))
    for number in range(sent):
        assert manager.hear() == (f"STATUS={number}".encode(), [])
        notifier.flush()
    assert manager.hear()[0] == b"READY=1"
    assert not notifier.is_waiting and notifier.error == ""
    notifier.close()


def test_a_manager_that_does_not_read_costs_little_memory_and_no_news(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    for number in range(2000):
        notifier.send(message(STATUS=number))
        notifier.send(message(WATCHDOG=1))
    notifier.send(message(READY=1, STATUS="last"))
    heard = 0
    while manager.hear()[0] != b"READY=1\nSTATUS=last":
        notifier.flush()
        heard += 1
    # What the kernel holds for one socket, besides (net.unix.max_dgram_qlen).
    assert LONGEST_QUEUE <= heard < 2000
    notifier.close()


def test_a_descriptor_that_was_closed_meanwhile_holds_nothing_up(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    notifier.send(message(FDSTORE=1), [write])
    notifier.send(message(READY=1))
    assert manager.hear()[0] == b"READY=1" and notifier.error == ""
    notifier.close()


@pytest.mark.parametrize(
    "address", ["/nonexistent/notify", "@prefork-test-nobody", "vsock:2:1234", "relative"]
)
def test_a_manager_that_is_away_is_no_error_of_ours(address: str) -> None:
    notifier = Notifier(address)
    notifier.send(message(READY=1))
    assert notifier.error and not notifier.is_waiting
    assert not notifier.barrier(0.0)
    notifier.close()
    notifier.send(message(READY=1))


def test_nobody_asked() -> None:
    notifier = Notifier("")
    notifier.send(message(READY=1))
    assert not notifier and notifier.error == "" and not notifier.is_waiting


def test_a_barrier_waits_until_all_has_been_read(manager: Manager) -> None:
    notifier = Notifier(manager.address)
    assert not notifier.barrier(0.01), "nobody has read it"
    data, (fd,) = manager.hear()
    assert data == b"BARRIER=1"
    os.close(fd)
    reader = subprocess.Popen([sys.executable, "-c", _READS_ONE], stdin=manager.sock)
    assert notifier.barrier(60)
    assert reader.wait(60) == 0
    notifier.close()


_READS_ONE = """
import os, socket
sock = socket.socket(fileno=0)
sock.settimeout(30)
_, ancillary, _, _ = sock.recvmsg(4096, socket.CMSG_SPACE(16))
assert ancillary
"""
"""Its end closes the descriptor."""
