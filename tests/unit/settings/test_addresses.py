"""Addresses: their form, when two collide, and that the listeners' own parser agrees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.net.address import parse_address
from prefork.settings.addresses import Endpoint, parse_endpoint


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("127.0.0.1:08000", "127.0.0.1:8000"),
        ("0.0.0.0:0", "0.0.0.0:0"),
        ("localhost:65535", "localhost:65535"),
        ("LOCALHOST:80", "localhost:80"),
        ("my-host.example.com:80", "my-host.example.com:80"),
        ("example.com.:80", "example.com.:80"),
        ("[::1]:8000", "[::1]:8000"),
        ("[0:0:0:0:0:0:0:1]:8000", "[::1]:8000"),
        ("[::]:80", "[::]:80"),
        ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80"),
        ("unix:/run/shop.sock", "unix:/run/shop.sock"),
        ("unix:///run/shop.sock", "unix:/run/shop.sock"),
        ("unix://run/shop.sock", "unix:/run/shop.sock"),
        ("unix:shop.sock", "unix:/srv/shop/shop.sock"),
        ("unix:../run/shop.sock", "unix:/srv/run/shop.sock"),
        ("unix:@shop", "unix:@shop"),
    ],
)
def test_an_address_is_kept_in_one_spelling(written: str, kept: str) -> None:
    assert str(parse_endpoint(written, "/srv/shop")) == kept


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        (8000, "must be a string"),
        (None, "must be a string"),
        ("", 'must be "host:port"'),
        ("8000", 'must be "host:port"'),
        ("::1", 'must be "host:port"'),
        ("localhost", 'must be "host:port"'),
        ("/run/shop.sock", 'must be "host:port"'),
        ("localhost:http", 'must be "host:port"'),
        ("localhost:", 'must be "host:port"'),
        ("localhost:80 ", 'must be "host:port"'),
        ("localhost:-1", 'must be "host:port"'),
        ("localhost:\u0661", 'must be "host:port"'),
        ("http://localhost:80", 'must be "host:port"'),
        ("local host:80", 'must be "host:port"'),
        ("-host:80", 'must be "host:port"'),
        ("a..b:80", 'must be "host:port"'),
        ("a" * 64 + ":80", 'must be "host:port"'),
        ("a." * 127 + "com:80", 'must be "host:port"'),
        ("localhost:65536", "a port from 0 to 65535"),
        ("localhost:99999", "a port from 0 to 65535"),
        (":80", "must name a host"),
        ("*:80", "must name a host"),
        ("::1:80", 'in brackets: "[::1]:port"'),
        ("fe80::1:2:3:80", 'in brackets: "[fe80::1:2:3]:port"'),
        ("[::1]", 'must be "host:port"'),
        ("[::g]:80", "an IPv6 address in its brackets"),
        ("[127.0.0.1]:80", "an IPv6 address in its brackets"),
        ("127.0.0.256:80", "four numbers from 0 to 255"),
        ("127.1:80", "four numbers from 0 to 255"),
        ("010.0.0.1:80", "four numbers from 0 to 255"),
        ("unix:", "must name a socket file"),
        ("unix:@", "must name a socket file"),
        ("unix:/run/", "must name a socket file"),
        ("unix:/.", "must name a socket file"),
        ("unix:@a/", "must name a socket file"),
        ("unix:/run/..", "must name a socket file"),
        ("unix:/run/a\0b", "NUL"),
        ("unix:/run/a\udc80b", "must be UTF-8"),
        ("unix:/" + "é" * 54, "at most 107 bytes, this one has 109"),
    ],
)
def test_what_is_no_address_is_told_how_to_write_one(written: object, rule: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_endpoint(written, "/srv/shop")
    assert rule in str(caught.value)


def test_the_longest_socket_path_is_accepted() -> None:
    assert parse_endpoint("unix:/" + "a" * 106, "/").path == "/" + "a" * 106


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("127.0.0.1:80", "0.0.0.0:80", True),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("[::]:80", "[::1]:80", True),
        ("[::]:80", "0.0.0.0:80", False),  # listeners on [::] are for IPv6 alone
        ("[::]:80", "127.0.0.1:80", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("LocalHost:80", "localhost:80", True),
        ("localhost:80", "0.0.0.0:80", False),  # nobody has asked yet what localhost is
        ("[::1]:80", "[0::1]:80", True),
        ("unix:/run/a", "unix:/run/a", True),
        ("unix:/run/a", "unix:/run/b/../a", True),
        ("unix:/run/a", "unix:/run/b", False),
        ("unix:/run/a", "127.0.0.1:80", False),
        ("unix:@a", "unix:@a", True),
    ],
)
def test_addresses_that_cannot_both_be_bound(one: str, other: str, collide: bool) -> None:
    assert parse_endpoint(one, "/").collides_with(parse_endpoint(other, "/")) is collide


@given(
    st.one_of(
        st.text(max_size=40),
        st.from_regex(r"\A[a-z0-9.:\[\]%_-]{1,20}:[0-9]{1,6}\Z"),
        st.from_regex(r"\Aunix:[@/.a-z]{1,20}\Z"),
        st.builds("[{}]:{}".format, st.ip_addresses(v=6), st.integers(0, 65535)),
        st.builds("{}:{}".format, st.ip_addresses(v=4), st.integers(0, 65535)),
    )
)
def test_every_address_that_settings_accept_can_be_listened_on(written: str) -> None:
    """Settings cannot import `prefork.net` (nor the other way round), so their two parsers are compared here."""
    try:
        endpoint = parse_endpoint(written, "/srv")
    except ValueError:
        return
    assert str(parse_address(str(endpoint))) == str(endpoint)
    assert parse_endpoint(str(endpoint), "/elsewhere") == endpoint


def test_an_endpoint_knows_what_it_is() -> None:
    assert Endpoint(path="/run/a").has_file
    assert not Endpoint(path="@a").has_file
    assert Endpoint(path="@a").is_unix
    assert not Endpoint(host="localhost", port=80).is_unix
