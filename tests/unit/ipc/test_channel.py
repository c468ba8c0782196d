"""Messages between real processes: whole, in order, with their descriptors, and the end of a peer."""

from __future__ import annotations

import array
import os
import resource
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from prefork.ipc.channel import MAX_FDS, MAX_PACKET, Channel, ChannelClosed, ChannelError, Received
from prefork.ipc.messages import MAX_TEXT, Drain, Exit, Spawn, Spawned, Stop, WorkerFailed, WorkerReady, clip
from prefork.master.plan import MAX_ORDERS
from support.child import child, run
from support.deadline import DEADLINE_S, SLOWNESS

WAIT_S = DEADLINE_S * SLOWNESS


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    ends = Channel.pair()
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, Channel]]:
    """A plain socket, to send what no Channel would."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(theirs)
    with ours:
        yield ours, channel
    channel.close()


def open_fds() -> list[str]:
    # The listing's own descriptor is closed by the time it is looked at.
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())


def test_messages_arrive_whole_and_in_order(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    sent = [Spawn(worker_id=1, slot=1), Exit(), Drain(reason="reload", backlog=[3, 4])]
    assert all(a.send(message) for message in sent)
    assert [b.receive() for _ in sent] == [Received(message, ()) for message in sent]
    assert b.receive() is None


def test_both_ends_are_nonblocking_and_not_inherited(pair: tuple[Channel, Channel]) -> None:
    for end in pair:
        assert not os.get_blocking(end.fileno())
        assert not os.get_inheritable(end.fileno())
        assert end.receive() is None


def test_descriptors_travel_and_are_close_on_exec(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    read_fd, write_fd = os.pipe()
    assert a.send(Spawn(worker_id=1, slot=1), [read_fd, write_fd])
    os.close(read_fd)
    os.close(write_fd)
    received = b.receive()
    assert received is not None
    assert len(received.fds) == 2
    assert not any(os.get_inheritable(fd) for fd in received.fds)
    os.write(received.fds[1], b"through")
    assert os.read(received.fds[0], 100) == b"through"
    for fd in received.fds:
        os.close(fd)


def test_most_descriptors_in_one_packet(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    assert a.send(Exit(), [0] * MAX_FDS)
    received = b.receive()
    assert received is not None
    assert len(received.fds) == MAX_FDS
    for fd in received.fds:
        os.close(fd)
    with pytest.raises(ValueError, match="does not fit"):
        a.send(Exit(), [0] * (MAX_FDS + 1))


def test_a_full_queue_is_false_and_takes_messages_again_once_read(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    message = Stop(reason="x" * 10_000)
    sent = 0
    while a.send(message):
        sent += 1
        assert sent < 10_000
    assert sent > 1
    assert b.receive() == Received(message, ())
    for _ in range(sent - 1):
        assert b.receive() is not None
    assert a.send(message)


def test_the_longest_texts_that_messages_hold_fit(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    text = clip("ü" * 2 * MAX_TEXT)
    message = WorkerFailed(worker_id=1, stage="import", error=text, traceback=text)
    assert a.send(message)
    assert b.receive() == Received(message, ())


def test_a_message_that_can_never_be_sent_is_an_error(pair: tuple[Channel, Channel]) -> None:
    with pytest.raises(ValueError, match=r"Stop of .* does not fit a packet"):
        pair[0].send(Stop(reason="x" * MAX_PACKET))


def test_a_message_beyond_the_socket_buffer_is_an_error(raw: tuple[socket.socket, Channel]) -> None:
    ours, _ = raw
    channel = Channel.from_fd(os.dup(ours.fileno()))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with pytest.raises(ValueError, match="wmem_max"):
        channel.send(Stop(reason="x" * 100_000))
    channel.close()


def test_a_closed_peer_is_seen_by_both_calls(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    b.close()
    assert a.send(Exit()) is False
    with pytest.raises(ChannelClosed):
        a.receive()
    assert b.fileno() == -1
    b.close()


def test_what_the_peer_sent_before_it_went_is_received_first(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    b.send(WorkerReady(worker_id=7))
    b.close()
    assert a.receive() == Received(WorkerReady(worker_id=7), ())
    with pytest.raises(ChannelClosed):
        a.receive()


def test_last_words_survive_a_reset(pair: tuple[Channel, Channel]) -> None:
    """A peer that closes with unread packets resets the connection: the kernel reports that before its own packets."""
    a, b = pair
    a.send(Drain(reason="reload"))
    b.send(WorkerReady(worker_id=7))
    b.close()
    assert a.receive() == Received(WorkerReady(worker_id=7), ())
    with pytest.raises(ChannelClosed):
        a.receive()


def test_a_truncated_array_of_descriptors_is_an_error_and_leaks_nothing(
    raw: tuple[socket.socket, Channel],
) -> None:
    ours, channel = raw
    before = open_fds()
    too_many = array.array("i", [0] * (MAX_FDS + 1))
    ours.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, too_many)])
    with pytest.raises(ChannelError, match="descriptors"):
        channel.receive()
    assert open_fds() == before


def test_all_orders_of_a_plan_have_room_in_a_channel(pair: tuple[Channel, Channel]) -> None:
    a, _ = pair
    assert all(a.send(Spawn(worker_id=each, slot=each), [0]) for each in range(MAX_ORDERS))


def test_no_room_for_descriptors_is_an_error_and_leaks_nothing(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    a.send(Spawn(worker_id=1, slot=1), [0, 0, 0])
    before = open_fds()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
    try:
        with pytest.raises(ChannelError, match="limit of open files"):
            b.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_fds() == before


def test_a_packet_that_is_cut_is_an_error(raw: tuple[socket.socket, Channel]) -> None:
    ours, channel = raw
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_PACKET)
    try:
        ours.send(b"x" * (MAX_PACKET + 1))
    except OSError:
        pytest.skip("net.core.wmem_max of this machine does not let such a packet out")
    with pytest.raises(ChannelError, match="was cut"):
        channel.receive()


@pytest.mark.parametrize("packet", [b"nonsense", b"{}", b'{"type":"unknown"}', b'{"type":"spawn"}', b"\xff"])
def test_a_packet_that_is_no_message_is_an_error_and_its_descriptors_are_closed(
    raw: tuple[socket.socket, Channel], packet: bytes
) -> None:
    ours, channel = raw
    before = open_fds()
    ours.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
    with pytest.raises(ChannelError, match="no message") as caught:
        channel.receive()
    assert not isinstance(caught.value, ChannelClosed)
    assert open_fds() == before


def test_wait_ends_with_a_packet_the_end_or_the_time(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    assert b.wait(0) is False
    assert b.wait(0.001) is False
    a.send(Exit())
    assert b.wait(None) is True
    b.receive()
    a.close()
    assert b.wait(WAIT_S) is True


def test_an_inherited_end_serves_another_process(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    os.set_inheritable(b.fileno(), True)
    script = """
        import os, sys
        from prefork.ipc.channel import Channel
        from prefork.ipc.messages import Spawned
        channel = Channel.from_fd(int(sys.argv[1]))
        assert not os.get_inheritable(channel.fileno())
        assert channel.wait(None)
        message, (fd,) = channel.receive()
        os.write(fd, b"from the child")
        assert channel.send(Spawned(worker_id=message.worker_id, pid=os.getpid()))
    """
    read_fd, write_fd = os.pipe()
    with child(script, b.fileno(), pass_fds=[b.fileno()]) as process:
        b.close()
        assert a.send(Spawn(worker_id=5, slot=1), [write_fd])
        os.close(write_fd)
        assert a.wait(WAIT_S)
        assert a.receive() == Received(Spawned(worker_id=5, pid=process.pid), ())
        with open(read_fd, "rb") as pipe:
            assert pipe.read() == b"from the child"
        assert a.wait(WAIT_S)
        with pytest.raises(ChannelClosed):
            a.receive()


def test_a_killed_peer_is_the_end(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    script = "import sys; print('up', flush=True); sys.stdin.read()"
    with child(script, pass_fds=[b.fileno()]) as process:
        b.close()
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert a.receive() is None
        process.kill()
        assert a.wait(WAIT_S)
        with pytest.raises(ChannelClosed):
            a.receive()


def test_no_descriptor_reaches_an_unrelated_process(pair: tuple[Channel, Channel]) -> None:
    del pair
    script = """
        import os
        print(sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket:") for fd in os.listdir("/proc/self/fd")
                  if os.path.islink(f"/proc/self/fd/{fd}")))
    """
    assert run(script) == "0\n"


def test_a_file_that_is_no_socket_is_refused() -> None:
    with open(os.devnull, "rb") as null, pytest.raises(OSError, match="non-socket"):
        Channel.from_fd(null.fileno())


def test_it_is_polled_like_any_descriptor(pair: tuple[Channel, Channel]) -> None:
    a, b = pair
    with select.epoll() as epoll:
        epoll.register(b, select.EPOLLIN)
        a.send(Exit())
        assert epoll.poll(WAIT_S) == [(b.fileno(), select.EPOLLIN)]
