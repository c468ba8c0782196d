"""Addresses as text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.net.address import TcpAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address", "written"),
    [
        ("127.0.0.1:8000", TcpAddress("127.0.0.1", 8000), "127.0.0.1:8000"),
        ("0.0.0.0:0", TcpAddress("0.0.0.0", 0), "0.0.0.0:0"),
        ("[::1]:65535", TcpAddress("::1", 65535), "[::1]:65535"),
        ("[0:0::0:1]:80", TcpAddress("::1", 80), "[::1]:80"),
        ("[fe80::1%eth0]:80", TcpAddress("fe80::1%eth0", 80), "[fe80::1%eth0]:80"),
        ("localhost:8000", TcpAddress("localhost", 8000), "localhost:8000"),
        ("App-1.Example.ORG:80", TcpAddress("app-1.example.org", 80), "app-1.example.org:80"),
        ("unix:/run/x.sock", UnixAddress("/run/x.sock"), "unix:/run/x.sock"),
        ("unix:/a b:c", UnixAddress("/a b:c"), "unix:/a b:c"),
        ("unix:@name", UnixAddress("@name"), "unix:@name"),
    ],
)
def test_valid(text: str, address: TcpAddress | UnixAddress, written: str) -> None:
    assert parse_address(text) == address
    assert str(address) == written
    assert parse_address(written) == address


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "lacks a port"),
        ("8000", "lacks a port"),
        ("localhost", "lacks a port"),
        ("localhost:", "the port ''"),
        ("localhost:http", "the port 'http'"),
        ("localhost:65536", "the port '65536'"),
        ("localhost:-1", "the port '-1'"),
        ("localhost:+1", "the port '+1'"),
        ("localhost: 80", "the port ' 80'"),
        ("localhost:٣", "the port"),
        ("localhost:000000080", "the port"),
        (":8000", '"0.0.0.0:8000" for every IPv4 address, "[::]:8000" for every IPv6 address'),
        ("*:8000", '"0.0.0.0:8000"'),
        ("http://127.0.0.1:8000", "is a URL"),
        ("::1:8000", "goes in brackets"),
        ("[::1:8000", "goes in brackets"),
        ("[]:80", "no valid IPv6"),
        ("[127.0.0.1]:80", "no valid IPv6"),
        ("[::g]:80", "no valid IPv6"),
        ("256.0.0.1:80", "no valid IPv4"),
        ("127.1:80", "no valid IPv4"),
        ("010.0.0.1:80", "no valid IPv4"),
        ("a b:80", "no valid host"),
        ("-a:80", "no valid host"),
        ("a..b:80", "no valid host"),
        ("a\n:80", "no valid host"),
        ("a" * 64 + ":80", "no valid host"),
        (".".join(["abc"] * 64) + ":80", "no valid host"),
        ("unix:", "absolute path"),
        ("unix:run/x.sock", "absolute path"),
        ("unix:/", "lacks the name"),
        ("unix:/run/", "lacks the name"),
        ("unix:@", "lacks the name"),
        ("unix:/x\0y", "NUL"),
    ],
)
def test_invalid(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(deadline=None)  # a slow machine is no failure
@given(st.text() | st.text(alphabet="unix:/@[]0123456789.a"))
def test_whatever_is_accepted_is_written_so_that_it_is_accepted_again(text: str) -> None:
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(str(address)) == address
