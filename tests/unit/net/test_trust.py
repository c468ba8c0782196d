"""Which peers are believed."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.net.trust import TrustedPeers

SOME = TrustedPeers(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32", "::1", "unix"])


@pytest.mark.parametrize(
    ("peer", "believed"),
    [
        (("127.0.0.1", 5), True),
        (("127.0.0.2", 5), False),
        (("10.255.0.1", 5), True),
        (("11.0.0.0", 5), False),
        (("2001:db8:ffff::1", 5, 0, 0), True),
        (("2001:db9::1", 5, 0, 0), False),
        (("::1", 5, 0, 0), True),
        (("::ffff:10.1.2.3", 5, 0, 0), True),
        (("::ffff:11.1.2.3", 5, 0, 0), False),
        (("2001:db8::1%eth0", 5, 0, 2), True),
        ("", True),
        ("/run/client.sock", True),
        (b"\0x", True),
    ],
)
def test_peers(peer: object, believed: bool) -> None:
    assert SOME.trusts(peer) is believed


@pytest.mark.parametrize(
    "address", ["", "localhost", "010.0.0.1", "10.1", "10.0.0.0/8", "10.0.0.1 ", "\0", "unixx", "::1::"]
)
def test_what_is_no_address_is_not_trusted(address: str) -> None:
    assert address not in SOME


def test_nobody_is_trusted_without_a_name() -> None:
    nobody = TrustedPeers([])
    assert not nobody
    assert not nobody.trusts("")
    assert not nobody.trusts(("127.0.0.1", 1))
    assert not TrustedPeers(["127.0.0.1"]).trusts("")


@given(
    st.lists(
        st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).flatmap(
            lambda address: st.integers(0, address.max_prefixlen).map(
                lambda length: ipaddress.ip_network(f"{address}/{length}", strict=False)
            )
        ),
        max_size=4,
    ),
    st.ip_addresses(),
)
def test_it_agrees_with_the_standard_library(
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    mapped = getattr(address, "ipv4_mapped", None) or address
    expected = any(mapped in network for network in networks)
    assert (str(address) in TrustedPeers(map(str, networks))) is expected
