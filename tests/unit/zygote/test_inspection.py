"""What a process finds when it looks at itself."""

from __future__ import annotations

import os
import socket
import threading

from prefork.zygote.inspection import Findings, inspect_process, open_sockets, other_threads


def test_nothing_is_safe() -> None:
    assert Findings((), ()).safe
    assert not Findings(("timer",), ()).safe
    assert not Findings((), ("to 127.0.0.1:5432",)).safe


def test_a_thread_is_found_by_its_name() -> None:
    before = other_threads()
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="scheduler")
    thread.start()
    try:
        assert sorted(other_threads()) == sorted([*before, "scheduler"])
    finally:
        release.set()
        thread.join()


def test_sockets_that_were_open_before_do_not_count() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = open_sockets()
        assert inspect_process(before).sockets == ()
        with socket.create_connection(server.getsockname()) as client:
            found = inspect_process(before).sockets
            assert found == (f"to 127.0.0.1:{server.getsockname()[1]}",)
            assert client.fileno() >= 0


def test_a_socket_under_the_number_of_an_earlier_one_counts() -> None:
    first = socket.socket()
    number = first.fileno()
    before = open_sockets()
    first.close()
    with socket.socket() as second:
        assert second.fileno() == number, "the lowest free number is taken"
        assert len(inspect_process(before).sockets) == 1


def test_descriptions() -> None:
    before = open_sockets()
    left, right = socket.socketpair()
    with left, right, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.bind(("127.0.0.1", 0))
        found = inspect_process(before).sockets
        assert f"at 127.0.0.1:{datagram.getsockname()[1]}" in found
        assert "to an unnamed unix socket" in found


def test_files_are_no_sockets() -> None:
    before = open_sockets()
    fd = os.memfd_create("file")
    try:
        assert inspect_process(before).sockets == ()
    finally:
        os.close(fd)
