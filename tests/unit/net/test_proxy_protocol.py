"""Headers of the PROXY protocol: examples from its specification, every cut, and damage."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.net.proxy_protocol import (
    LONGEST_V1,
    LONGEST_V2,
    SIGNATURE,
    BadHeaderError,
    Header,
    NoHeaderError,
    read_header,
)

V4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack("!HH", 56324, 443)
V6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    + struct.pack("!HH", 1, 65535)
)
UNIX = b"/run/client.sock".ljust(108, b"\0") + b"\0hidden".ljust(108, b"\0")


def v2(command: int, family: int, block: bytes, *, version: int = 2, length: int | None = None) -> bytes:
    size = len(block) if length is None else length
    return SIGNATURE + bytes([version << 4 | command, family]) + struct.pack("!H", size) + block


GOOD = {
    "v1-tcp4": (
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        (("192.0.2.1", 56324), ("198.51.100.2", 443)),
    ),
    "v1-tcp6": (
        b"PROXY TCP6 2001:db8::1 2001:DB8::2 0 65535\r\n",
        (("2001:db8::1", 0), ("2001:db8::2", 65535)),
    ),
    "v1-mapped": (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", (("::ffff:192.0.2.1", 1), ("::1", 2))),
    "v1-longest": (
        b"PROXY TCP6 ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".replace(
            b"f...f", b"ffff:ffff:ffff:ffff:ffff:ffff"
        ),
        (
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535),
        ),
    ),
    "v1-unknown": (b"PROXY UNKNOWN\r\n", (None, None)),
    "v1-unknown-with-more": (b"PROXY UNKNOWN ffff::1 what ever 65535 x\r\n", (None, None)),
    "v2-tcp4": (v2(1, 0x11, V4), (("192.0.2.1", 56324), ("198.51.100.2", 443))),
    "v2-tcp6": (v2(1, 0x21, V6), (("2001:db8::1", 1), ("2001:db8::2", 65535))),
    "v2-unix": (v2(1, 0x31, UNIX), ("/run/client.sock", "@hidden")),
    "v2-tlvs": (
        v2(1, 0x11, V4 + b"\x02\x00\x04host" + b"\x20\x00\x01\0"),
        (("192.0.2.1", 56324), ("198.51.100.2", 443)),
    ),
    "v2-local": (v2(0, 0x00, b""), (None, None)),
    "v2-local-with-addresses": (v2(0, 0x11, V4), (None, None)),
    "v2-unspecified": (v2(1, 0x00, b"abc"), (None, None)),
    "v2-datagram": (v2(1, 0x12, V4), (None, None)),
    "v2-longest": (v2(1, 0x11, V4 + bytes(LONGEST_V2 - 28)), (("192.0.2.1", 56324), ("198.51.100.2", 443))),
}


@pytest.mark.parametrize(("data", "addresses"), GOOD.values(), ids=GOOD)
def test_a_header_is_read_at_whatever_point_it_is_cut(data: bytes, addresses: tuple[object, object]) -> None:
    expected = Header(len(data), *addresses)  # type: ignore[arg-type]
    assert read_header(data) == expected
    assert read_header(data + b"GET / HTTP/1.1\r\n\r\n") == expected
    for end in range(len(data)):
        assert read_header(data[:end]) is None, end


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        b"PROXY  TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 056 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 1 443\r\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.2 1 443\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 443\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 1 443\r\n",
        b"PROXY TCP6 2001:db8::1::2 ::1 1 443\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY tcp4 192.0.2.1 198.51.100.2 1 443\r\n",
        b"PROXY \r\n",
        b"PROXY / HTTP/1.1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1 443\n" + b"x" * LONGEST_V1,
        b"PROXY UNKNOWN " + b"x" * LONGEST_V1,
        v2(1, 0x11, V4, version=1),
        v2(1, 0x11, V4, version=3),
        v2(2, 0x11, V4),
        v2(15, 0x11, V4),
        v2(1, 0x41, V4),
        v2(1, 0x13, V4),
        v2(1, 0x11, V4[:-1]),
        v2(1, 0x21, V4),
        v2(1, 0x31, UNIX[:-1]),
        v2(1, 0x11, b"", length=LONGEST_V2 - 15),
        v2(1, 0x11, b"", length=65535),
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(BadHeaderError):
        read_header(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROPFIND / HTTP/1.1",
        b"\r\nGET",
        b"\x16\x03\x01",
        b"proxy tcp4",
        b"\r\n\r\n\0\r\nQUIT\r",
    ],
)
def test_no_header(data: bytes) -> None:
    with pytest.raises(NoHeaderError):
        read_header(data)


ports = st.integers(0, 65535)


@given(st.ip_addresses(), ports, st.data())
def test_both_versions_say_the_same(
    source: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, data: st.DataObject
) -> None:
    destination, other_port = data.draw(st.ip_addresses(v=source.version)), data.draw(ports)
    text = f"PROXY TCP{source.version} {source} {destination} {port} {other_port}\r\n".encode()
    block = source.packed + destination.packed + struct.pack("!HH", port, other_port)
    packed = v2(1, 0x11 if source.version == 4 else 0x21, block)
    one, two = read_header(text), read_header(packed)
    assert one is not None
    assert two is not None
    for header in (one, two):
        assert isinstance(header.source, tuple)
        assert isinstance(header.destination, tuple)
        assert (ipaddress.ip_address(header.source[0]), header.source[1]) == (source, port)
        assert (ipaddress.ip_address(header.destination[0]), header.destination[1]) == (
            destination,
            other_port,
        )


@given(
    st.sampled_from([SIGNATURE, b"PROXY ", b"PROXY TCP4 ", b"PROXY UNKNOWN", b""]), st.binary(max_size=600)
)
def test_any_bytes_are_a_header_or_none_or_not_enough(start: bytes, rest: bytes) -> None:
    data = start + rest
    try:
        header = read_header(data)
    except (BadHeaderError, NoHeaderError):
        return
    if header is None:
        assert len(data) < LONGEST_V2
    else:
        assert header.size <= len(data)
