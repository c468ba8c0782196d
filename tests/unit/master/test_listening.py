"""Which entry of `[server] listen` an inherited socket is for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prefork.errors import ConfigError
from prefork.master.listening import keeping_name, leftovers, wanted
from prefork.net.address import UnixAddress, parse_address
from prefork.net.inherit import inherit
from prefork.net.listeners import Keeper, Listener, ListenSpec, bind_all
from prefork.settings.listen import Listen
from prefork.settings.load import load
from prefork.settings.model import Settings
from prefork.settings.overrides import Override

Make = Callable[..., Listener]


@pytest.fixture
def make() -> Iterator[Make]:
    """A listener that systemd holds: `make(address, name)` for a socket unit, with `asked` one that it has kept."""
    made: list[Listener] = []

    def call(address: str, name: str = "http", *, asked: str | None = None) -> Listener:
        (bound,) = bind_all([ListenSpec(parse_address(address))], 16)
        keeper = Keeper.UNIT
        if asked is not None:
            keeper, name = Keeper.STORE, keeping_name(ListenSpec(parse_address(asked)), bound)
        listener = inherit(os.dup(bound.fileno()), name, keeper)
        bound.close()
        made.append(listener)
        return listener

    yield call
    for listener in made:
        if isinstance(listener.address, UnixAddress) and not listener.address.is_abstract:
            Path(listener.address.path).unlink(missing_ok=True)
        listener.close()


def settings(*entries: object) -> Settings:
    overrides = [Override("app.target", "a:b", "test")]
    if entries:
        overrides.append(Override("server.listen", list(entries), "test"))
    return load(None, overrides).settings


def found(config: Settings, *held: Listener) -> list[str]:
    return [str(each.spec.address) for each in wanted(config, held)]


def test_by_address(make: Make) -> None:
    one, two = make("127.0.0.1:0"), make("127.0.0.1:0")
    config = settings(str(two.address), str(one.address), "127.0.0.1:1")
    assert found(config, one, two) == [str(two.address), str(one.address), "127.0.0.1:1"]


def test_by_the_address_of_a_host(make: Make) -> None:
    one = make("127.0.0.1:0")
    assert found(settings(str(one.address).replace("127.0.0.1", "localhost")), one) == [str(one.address)]


def test_by_name_when_no_address_fits(make: Make) -> None:
    http, admin = make("127.0.0.1:0", "http"), make("127.0.0.1:0", "admin")
    config = settings({"address": "127.0.0.1:1", "name": "admin"}, str(http.address))
    first, second = wanted(config, [http, admin])
    assert (first.spec.address, second.spec.address) == (admin.address, http.address)
    assert first.entry == Listen(str(admin.address), name="admin"), "as workers are told"


def test_systemd_takes_what_is_left_each_with_its_entry(make: Make, tmp_path: Path) -> None:
    http, unix, admin = make("127.0.0.1:0"), make(f"unix:{tmp_path}/s"), make("127.0.0.1:0", "admin")
    admin_entry = {"address": "systemd", "name": "admin", "proxy_protocol": "optional"}
    config = load(
        None,
        [
            Override("app.target", "a:b", "test"),
            Override("server.listen", ["systemd", admin_entry], "test"),
            Override("proxy.trusted", ["127.0.0.1"], "test"),
        ],
    ).settings
    entries = [each.entry for each in wanted(config, [http, admin, unix])]
    assert entries == [
        Listen(str(http.address)),
        Listen(str(unix.address)),
        Listen(str(admin.address), proxy_protocol="optional", name="admin"),
    ]


def test_the_default_gives_way_to_what_systemd_opened(make: Make) -> None:
    one = make("127.0.0.1:0")
    assert found(settings(), one) == [str(one.address)]
    assert found(settings()) == ["127.0.0.1:8000"]


def test_abstract_sockets(make: Make, tmp_path: Path) -> None:
    one = make(f"unix:@prefork-test-{tmp_path.name}-{id(tmp_path)}")
    assert found(settings(str(one.address)), one) == [str(one.address)]


def test_a_socket_that_nobody_asked_for_is_refused_with_both_names(make: Make) -> None:
    one, two = make("127.0.0.1:0"), make("127.0.0.1:0", "admin")
    with pytest.raises(ConfigError) as error:
        wanted(settings(str(one.address)), [one, two])
    (line,) = error.value.problems
    assert f'listens on {two.address} (FileDescriptorName "admin")' in line and f'"{one.address}"' in line


def test_nothing_passed() -> None:
    with pytest.raises(ConfigError, match="systemd passed no socket: enable and start the socket unit"):
        wanted(settings("systemd"))


def test_nothing_passed_by_that_name(make: Make) -> None:
    one = make("127.0.0.1:0")
    with pytest.raises(ConfigError, match=r'passed no socket named "admin" besides .* \(http\)'):
        wanted(settings(str(one.address), {"address": "systemd", "name": "admin"}), [one])


def test_a_kept_socket_is_found_by_what_was_asked_for(make: Make, tmp_path: Path) -> None:
    port0, host, unix = (
        make("127.0.0.1:0", asked="127.0.0.1:0"),
        make("127.0.0.1:0", asked="localhost:1"),
        make(f"unix:{tmp_path}/s", asked=f"unix:{tmp_path}/s"),
    )
    by_host = str(host.address).replace("127.0.0.1", "localhost")
    config = settings(f"unix:{tmp_path}/s", "127.0.0.1:0", by_host)
    assert found(config, port0, host, unix) == [str(unix.address), str(port0.address), str(host.address)]
    assert leftovers(config, [port0, host, unix]) == []
    assert leftovers(settings("127.0.0.1:0"), [port0, host, unix]) == [host, unix]


def test_a_kept_unix_socket_whose_file_is_anothers_is_not_ours(make: Make, tmp_path: Path) -> None:
    unix = make(f"unix:{tmp_path}/s", asked=f"unix:{tmp_path}/s")
    (tmp_path / "s").rename(tmp_path / "old")
    (tmp_path / "s").write_text("something else")
    again = inherit(os.dup(unix.fileno()), unix.name, Keeper.STORE)
    assert leftovers(settings(f"unix:{tmp_path}/s"), [again]) == [again]
    again.close()


def test_one_socket_for_both_families(make: Make) -> None:
    try:
        sock = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError:
        pytest.skip("no IPv6 here")
    port = sock.getsockname()[1]
    listener = inherit(os.dup(sock.fileno()), "http", Keeper.UNIT)
    sock.close()
    assert found(settings(f"0.0.0.0:{port}"), listener) == [f"[::]:{port}"]
    listener.close()
