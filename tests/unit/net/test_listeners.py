"""Listening sockets, all of them or none."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from prefork.errors import ListenError
from prefork.net.address import TcpAddress, UnixAddress, parse_address
from prefork.net.listeners import Listener, ListenSpec, adopt, bind_all, check_permission
from support.child import run

ABSTRACT = f"@prefork-test-{os.getpid()}"
Bind = Callable[..., list[Listener]]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


@pytest.fixture
def bind() -> Iterator[Bind]:
    """bind_all for addresses as text; what it made is closed at the end."""
    made: list[Listener] = []

    def call(*texts: str, held: Sequence[Listener] = (), backlog: int = 16) -> list[Listener]:
        listeners = bind_all([ListenSpec(parse_address(text)) for text in texts], backlog, held)
        made.extend(listeners)
        return listeners

    yield call
    for listener in made:
        listener.unlink_and_close()


def connect(address: TcpAddress | UnixAddress) -> socket.socket:
    if isinstance(address, TcpAddress):
        return socket.create_connection((address.host, address.port))
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(address.path.replace("@", "\0", 1))
    return sock


def accept(listener: Listener) -> socket.socket:
    assert select.select([listener], [], [], 30)[0]
    with adopt(os.dup(listener.fileno())) as sock:
        connection, _ = sock.accept()
    return connection


@pytest.mark.parametrize("text", ["127.0.0.1:0", pytest.param("[::1]:0", marks=needs_ipv6), "localhost:0"])
def test_tcp(bind: Bind, text: str) -> None:
    (listener,) = bind(text)
    assert listener.spec.address == parse_address(text)
    assert isinstance(listener.address, TcpAddress)
    assert listener.address.port > 0
    assert listener.address.host in ("127.0.0.1", "::1")
    with connect(listener.address), accept(listener) as connection:
        # Set on the listener and inherited: no system call for each connection.
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def test_a_name_is_its_first_ipv4_address(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.3", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    (listener,) = bind("some.name:0")
    assert isinstance(listener.address, TcpAddress)
    assert listener.address.host == "127.0.0.2"


def test_descriptors_are_nonblocking_and_not_inherited(bind: Bind, tmp_path: Path) -> None:
    listeners = bind("127.0.0.1:0", f"unix:{tmp_path}/a", f"unix:{ABSTRACT}-flags")
    for listener in listeners:
        assert not os.get_inheritable(listener.fileno())
        assert not os.get_blocking(listener.fileno())
    script = "import os, sys; print([os.path.exists(f'/proc/self/fd/{fd}') for fd in sys.argv[1:]])"
    assert run(script, *(listener.fileno() for listener in listeners)) == "[False, False, False]\n"


def test_options(bind: Bind) -> None:
    (listener,) = bind("127.0.0.1:0")
    with socket.socket(fileno=os.dup(listener.fileno())) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


@needs_ipv6
def test_the_wildcards_of_both_families_share_a_port(bind: Bind) -> None:
    (v4,) = bind("0.0.0.0:0")
    assert isinstance(v4.address, TcpAddress)
    (v6,) = bind(f"[::]:{v4.address.port}")
    with connect(TcpAddress("127.0.0.1", v4.address.port)), accept(v4):
        pass
    with connect(TcpAddress("::1", v4.address.port)), accept(v6):
        pass


def test_a_restart_does_not_wait_for_time_wait(bind: Bind) -> None:
    (listener,) = bind("127.0.0.1:0")
    client = connect(listener.address)
    accept(listener).close()  # the side that closes first goes to TIME_WAIT
    assert client.recv(1) == b""
    client.close()
    listener.close()
    (again,) = bind(str(listener.address))
    assert again.address == listener.address


def test_abstract(bind: Bind) -> None:
    (listener,) = bind(f"unix:{ABSTRACT}-abstract")
    with connect(listener.address), accept(listener):
        pass
    with pytest.raises(ListenError, match="a server answers there"):
        bind(f"unix:{ABSTRACT}-abstract")


def test_adopt_leaves_the_shared_blocking_mode_alone(bind: Bind) -> None:
    (listener,) = bind("127.0.0.1:0")
    fd = os.dup(listener.fileno())
    os.set_inheritable(fd, True)
    with adopt(fd) as sock:
        assert sock.fileno() == fd
        assert not os.get_inheritable(fd)
        assert not os.get_blocking(fd)
        assert not os.get_blocking(listener.fileno())
        with pytest.raises(BlockingIOError):
            sock.accept()


def test_a_failure_undoes_everything(bind: Bind, tmp_path: Path) -> None:
    (taken,) = bind("127.0.0.1:0")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ListenError, match="this server listens"):
        bind("127.0.0.1:0", f"unix:{tmp_path}/a", str(taken.address))
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_held_addresses_are_reused_and_the_order_is_that_of_the_specs(bind: Bind, tmp_path: Path) -> None:
    first = bind("127.0.0.1:0", f"unix:{tmp_path}/a", f"unix:{ABSTRACT}-held")
    second = bind(
        f"unix:{ABSTRACT}-held", "127.0.0.1:0", f"unix:{tmp_path}/b", f"unix:{tmp_path}/a", held=first
    )
    assert second[0] is first[2]
    assert second[1] is first[0]
    assert second[3] is first[1]
    assert second[2] not in first
    # By its real address, too.
    assert bind(str(first[0].address), held=first) == [first[0]]


def test_a_failure_leaves_the_held_ones_alone(bind: Bind, tmp_path: Path) -> None:
    held = bind(f"unix:{tmp_path}/a")
    with pytest.raises(ListenError):
        bind(f"unix:{tmp_path}/a", f"unix:{tmp_path}/missing/b", held=held)
    with connect(held[0].address), accept(held[0]):
        pass


def test_one_held_listener_serves_one_spec(bind: Bind) -> None:
    held = bind("127.0.0.1:0")
    one, other = bind("127.0.0.1:0", "127.0.0.1:0", held=held)
    assert one is held[0]
    assert other is not one


def test_a_held_socket_that_lost_its_file_is_bound_anew(bind: Bind, tmp_path: Path) -> None:
    """Cleaners of /tmp do that; the socket is still open, but no client can find it."""
    path = tmp_path / "a"
    held = bind(f"unix:{path}")
    path.unlink()
    assert not held[0].is_reachable()
    (fresh,) = bind(f"unix:{path}", held=held)
    assert fresh is not held[0]
    held[0].unlink_and_close()
    with connect(UnixAddress(str(path))), accept(fresh):
        pass


def test_listed_twice(bind: Bind) -> None:
    with pytest.raises(ListenError, match=r"127\.0\.0\.1:5: it is listed twice"):
        bind("127.0.0.1:5", "127.0.0.1:5")


def test_options_of_socket_files_do_not_fit_other_addresses() -> None:
    with pytest.raises(ListenError, match="unix sockets only"):
        bind_all([ListenSpec(TcpAddress("127.0.0.1", 0), mode=0o600)], 16)
    with pytest.raises(ListenError, match="abstract socket has no"):
        bind_all([ListenSpec(UnixAddress(f"{ABSTRACT}-mode"), uid=0)], 16)


def test_in_use_by_this_server(bind: Bind) -> None:
    """A reload from 127.0.0.1 to 0.0.0.0 on one port."""
    (taken,) = bind("127.0.0.1:0")
    assert isinstance(taken.address, TcpAddress)
    with pytest.raises(
        ListenError, match=r"0\.0\.0\.0:\d+: this server listens on an address that covers it"
    ):
        bind(f"0.0.0.0:{taken.address.port}", held=[taken])


def test_an_address_of_no_interface(bind: Bind) -> None:
    # 192.0.2.0/24 is for documentation: RFC 5737.
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:0: no network interface"):
        bind("192.0.2.1:0")


def test_an_unknown_host(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ListenError, match=r"the host 'no\.such' is unknown \(Name or service not known\)"):
        bind("no.such:80")


def test_without_ipv6(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_ipv6(*_: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", no_ipv6)
    with pytest.raises(ListenError, match="IPv6 is switched off"):
        bind("[::1]:0")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_privileged_port() -> None:
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if limit == 0:
        pytest.skip("every port is free for all here")
    script = """
        import os
        from prefork.errors import ListenError
        from prefork.net.address import parse_address
        from prefork.net.listeners import ListenSpec, bind_all
        os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
        try:
            bind_all([ListenSpec(parse_address("127.0.0.1:1"))], 16)
        except ListenError as error:
            print(error)
    """
    output = run(script)
    assert output.startswith(
        f"cannot listen on 127.0.0.1:1: ports below {limit} need root, CAP_NET_BIND_SERVICE"
    )
    assert "net.ipv4.ip_unprivileged_port_start" in output
    assert output.count("\n") == 1


def test_close_keeps_the_file_and_unlink_removes_it(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "a"
    (listener,) = bind(f"unix:{path}")
    listener.close()
    assert listener.fileno() == -1
    assert path.is_socket()
    listener.close()
    listener.unlink_and_close()
    assert not path.exists()
    listener.unlink_and_close()


def test_the_file_of_another_server_is_not_removed(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "a"
    (ours,) = bind(f"unix:{path}")
    path.unlink()
    (theirs,) = bind(f"unix:{path}")
    assert not ours.is_reachable()
    ours.unlink_and_close()
    with connect(UnixAddress(str(path))), accept(theirs):
        pass


# changing what stays ------------------------------------------------------------------------------------------------


def spec_of(listener: Listener, **changes: int | None) -> ListenSpec:
    return ListenSpec(listener.spec.address, **changes)


def test_a_socket_takes_on_another_mode_and_goes_on_listening(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "a"
    (listener,) = bind(f"unix:{path}")
    before = path.stat()
    listener.change(spec_of(listener, mode=0o640), 5)
    assert (path.stat().st_mode & 0o777, path.stat().st_ino) == (0o640, before.st_ino)
    with connect(listener.address), accept(listener):
        pass
    listener.change(spec_of(listener), 5)
    assert path.stat().st_mode == before.st_mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_socket_takes_on_another_owner_and_back(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "a"
    (listener,) = bind(f"unix:{path}")
    listener.change(spec_of(listener, uid=65534, gid=65534), 5)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)
    listener.change(spec_of(listener), 5)
    assert (path.stat().st_uid, path.stat().st_gid) == (os.geteuid(), os.getegid())


@pytest.mark.parametrize("stranger", ["link", "other", "nothing"])
def test_a_file_that_is_not_ours_is_not_touched(bind: Bind, tmp_path: Path, stranger: str) -> None:
    path, victim = tmp_path / "a", tmp_path / "victim"
    (listener,) = bind(f"unix:{path}")
    victim.write_text("")
    victim.chmod(0o600)
    path.unlink()
    if stranger == "link":
        path.symlink_to(victim)
    elif stranger == "other":
        victim.rename(path)
        victim = path
    with pytest.raises(ListenError, match=str(path)):
        listener.change(spec_of(listener, mode=0o777), 5)
    if stranger != "nothing":
        assert victim.stat().st_mode & 0o777 == 0o600


def test_a_tcp_listener_takes_on_another_queue_length(bind: Bind) -> None:
    (listener,) = bind("127.0.0.1:0")
    listener.change(spec_of(listener), 1)
    with connect(listener.address), accept(listener):
        pass


def test_only_root_may_promise_to_give_a_socket_away(monkeypatch: pytest.MonkeyPatch) -> None:
    address = UnixAddress("/run/x.sock")
    check_permission(ListenSpec(address, uid=os.geteuid(), gid=os.getegid()))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(os, "getgroups", lambda: [100])
    check_permission(ListenSpec(address, mode=0o660, uid=4711, gid=100))
    for spec in (ListenSpec(address, uid=0), ListenSpec(address, gid=5)):
        with pytest.raises(ListenError, match="only root may give the socket"):
            check_permission(spec)


def test_a_socket_file_is_removed_once_however_often_it_is_asked_for(bind: Bind, tmp_path: Path) -> None:
    path = tmp_path / "a"
    (listener,) = bind(f"unix:{path}")
    listener.unlink_and_close()
    (other,) = bind(f"unix:{path}")  # perhaps with the inode of the first
    listener.unlink_and_close()
    assert path.is_socket()
    assert other.is_reachable()
