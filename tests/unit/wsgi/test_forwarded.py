"""What trusted proxies say about the client: read from the right, believed no further than trust goes."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefork.wsgi.forwarded import NOTHING, Client, elements_from_the_right, parse_element, parse_node, reader

TRUSTED = {"10.0.0.1", "10.0.0.2", "2001:db8::1", "unix"}


def corrected(headers: str, **fields: str) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "wsgi.url_scheme": "http",
        "SERVER_NAME": "0.0.0.0",
        "SERVER_PORT": "8000",
        "SCRIPT_NAME": "",
        "REMOTE_ADDR": "10.0.0.1",
        "REMOTE_PORT": "4711",
        "HTTP_HOST": "inner:8000",
        **{f"HTTP_{name}": value for name, value in fields.items()},
    }
    before = environ.copy()
    correct = reader(headers, TRUSTED.__contains__)
    if correct is not None:
        correct(environ)
    return {
        key: environ.get(key) for key in environ.keys() | before.keys() if environ.get(key) != before.get(key)
    }


def x(**fields: str) -> dict[str, Any]:
    return corrected("x-forwarded", **{f"X_FORWARDED_{name}": value for name, value in fields.items()})


def forwarded(field: str) -> dict[str, Any]:
    return corrected("forwarded", FORWARDED=field)


def client(address: str, port: str | None = None) -> dict[str, Any]:
    return {"REMOTE_ADDR": address, "REMOTE_PORT": port}


HTTPS = {"wsgi.url_scheme": "https", "HTTPS": "on"}


@pytest.mark.parametrize(
    ("value", "changes"),
    [
        ("192.0.2.7", client("192.0.2.7")),
        (" 192.0.2.7\t", client("192.0.2.7")),
        ("192.0.2.7:55", client("192.0.2.7", "55")),
        ("2001:db8::7", client("2001:db8::7")),
        ("[2001:DB8::7]", client("2001:db8::7")),
        ("[2001:db8:0::7]:55", client("2001:db8::7", "55")),
        # The last one is what our peer saw; what stands before it, anybody may have written.
        ("203.0.113.9, 192.0.2.7", client("192.0.2.7")),
        ("203.0.113.9,192.0.2.7,10.0.0.2", client("192.0.2.7")),
        ("203.0.113.9,192.0.2.7,unix:", client("192.0.2.7")),
        ("192.0.2.7, 10.0.0.2, 2001:db8::1", client("192.0.2.7")),
        # Everybody is trusted: the client is one of us.
        ("10.0.0.2", client("10.0.0.2")),
        ("unix:", client("")),
        # Malformed: it ends there, with what is known.
        ("", {}),
        (",", {}),
        ("192.0.2.7,", {}),
        ("192.0.2.7, x", {}),
        ("x, 10.0.0.2", client("10.0.0.2")),
        ("192.0.2.7,, 10.0.0.2", client("10.0.0.2")),
        ("192.0.2.999", {}),
        ("192.0.2.07", {}),
        ("192.0.2", {}),
        ("192.0.2.7:0", {}),
        ("192.0.2.7:65536", {}),
        ("192.0.2.7:5x", {}),
        ("192.0.2.7:", {}),
        ("[192.0.2.7]", {}),
        ("[2001:db8::7", {}),
        ("[2001:db8::7]x", {}),
        ("[2001:db8::7]:", {}),
        ("2001:db8::7%eth0", {}),
        ("192.0.2.7\x00", {}),
        ("192.0.2.7 192.0.2.8", {}),
        ("\u00b9.2.3.4", {}),
        ('"192.0.2.7"', {}),
        # A proxy that does not tell.
        ("unknown", {}),
        ("192.0.2.7, unknown", {}),
        ("192.0.2.7, unknown, 10.0.0.2", client("10.0.0.2")),
        ("192.0.2.7," * 500 + "10.0.0.2", client("192.0.2.7")),
        ("192.0.2.7," + "10.0.0.2," * 40 + "10.0.0.2", client("10.0.0.2")),
    ],
)
def test_x_forwarded_for(value: str, changes: dict[str, Any]) -> None:
    assert x(FOR=value) == changes


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"PROTO": "https"}, HTTPS),
        ({"PROTO": "HTTPS"}, HTTPS),
        ({"PROTO": "http"}, {}),
        ({"PROTO": "gopher"}, {}),
        ({"PROTO": "https://"}, {}),
        ({"PROTO": ""}, {}),
        # The client sent "https", our peer put its own word behind it.
        ({"PROTO": "https, http"}, {}),
        ({"PROTO": "http,https"}, HTTPS),
        ({"PROTO": "https", "FOR": "192.0.2.7"}, HTTPS | client("192.0.2.7")),
        ({"PROTO": "https", "FOR": "x"}, {}),
        # Two proxies: the outer one has seen the client's scheme.
        ({"PROTO": "https,http", "FOR": "192.0.2.7,10.0.0.2"}, HTTPS | client("192.0.2.7")),
        ({"PROTO": "https,http,http", "FOR": "192.0.2.7,10.0.0.2"}, client("192.0.2.7")),
        ({"PROTO": "https", "FOR": "192.0.2.7,10.0.0.2"}, HTTPS | client("192.0.2.7")),
        (
            {"HOST": "shop.example"},
            {"HTTP_HOST": "shop.example", "SERVER_NAME": "shop.example", "SERVER_PORT": "80"},
        ),
        (
            {"HOST": "shop.example:8443"},
            {"HTTP_HOST": "shop.example:8443", "SERVER_NAME": "shop.example", "SERVER_PORT": "8443"},
        ),
        (
            {"HOST": "[2001:db8::9]:81"},
            {"HTTP_HOST": "[2001:db8::9]:81", "SERVER_NAME": "2001:db8::9", "SERVER_PORT": "81"},
        ),
        (
            {"HOST": "shop.example", "PROTO": "https"},
            HTTPS | {"HTTP_HOST": "shop.example", "SERVER_NAME": "shop.example", "SERVER_PORT": "443"},
        ),
        (
            {"HOST": "shop.example", "PROTO": "https", "PORT": "8443"},
            HTTPS | {"HTTP_HOST": "shop.example:8443", "SERVER_NAME": "shop.example", "SERVER_PORT": "8443"},
        ),
        (
            {"HOST": "shop.example:8080", "PROTO": "https", "PORT": "443"},
            HTTPS | {"HTTP_HOST": "shop.example", "SERVER_NAME": "shop.example", "SERVER_PORT": "443"},
        ),
        ({"PORT": "81"}, {"HTTP_HOST": "inner:81", "SERVER_NAME": "inner", "SERVER_PORT": "81"}),
        ({"PORT": "0"}, {}),
        ({"PORT": "65536"}, {}),
        ({"PORT": "+81"}, {}),
        ({"PORT": "81, x"}, {}),
        ({"HOST": "a b"}, {}),
        ({"HOST": "a/b"}, {}),
        ({"HOST": "user@a"}, {}),
        ({"HOST": ":80"}, {}),
        (
            {"HOST": "evil, shop.example"},
            {"HTTP_HOST": "shop.example", "SERVER_NAME": "shop.example", "SERVER_PORT": "80"},
        ),
        ({"PREFIX": "/shop"}, {"SCRIPT_NAME": "/shop"}),
        ({"PREFIX": "/shop/"}, {"SCRIPT_NAME": "/shop"}),
        ({"PREFIX": "/a/b%20c"}, {"SCRIPT_NAME": "/a/b c"}),
        ({"PREFIX": "/"}, {}),
        ({"PREFIX": "shop"}, {}),
        ({"PREFIX": "//evil.example"}, {}),
        ({"PREFIX": "/a//b"}, {}),
        ({"PREFIX": "/a%2f%2fb"}, {}),
        ({"PREFIX": "/a/../b"}, {}),
        ({"PREFIX": "/a/%2e%2e/b"}, {}),
        ({"PREFIX": "/a/."}, {}),
        ({"PREFIX": "/a?b"}, {}),
        ({"PREFIX": "/a%zz"}, {}),
        ({"PREFIX": "/a b"}, {}),
        ({"PREFIX": "/evil, /shop"}, {"SCRIPT_NAME": "/shop"}),
    ],
)
def test_the_other_x_forwarded_fields(fields: dict[str, str], changes: dict[str, Any]) -> None:
    assert x(**fields) == changes


def test_the_port_follows_the_scheme_when_nobody_names_one() -> None:
    changes = corrected("x-forwarded", X_FORWARDED_PROTO="https", HOST="shop.example")
    assert changes == HTTPS | {"SERVER_PORT": "443"}


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("for=192.0.2.7", client("192.0.2.7")),
        ('For="192.0.2.7:55"', client("192.0.2.7", "55")),
        ('for="[2001:db8:cafe::17]:4712"', client("2001:db8:cafe::17", "4712")),
        ('for="[2001:db8:cafe::17]"', client("2001:db8:cafe::17")),
        ("for=192.0.2.7;proto=https;by=203.0.113.43", HTTPS | client("192.0.2.7")),
        ("for=192.0.2.7; PROTO=https", HTTPS | client("192.0.2.7")),
        ("proto=https", HTTPS),
        (
            'host="shop.example:81";for=192.0.2.7',
            {"HTTP_HOST": "shop.example:81", "SERVER_NAME": "shop.example", "SERVER_PORT": "81"}
            | client("192.0.2.7"),
        ),
        ('host="[::1]"', {"HTTP_HOST": "[::1]", "SERVER_NAME": "::1", "SERVER_PORT": "80"}),
        # RFC 7239 section 7.1: a list, over one field or several.
        ("for=203.0.113.9;proto=https, for=192.0.2.7", client("192.0.2.7")),
        ("for=192.0.2.7;proto=https,for=10.0.0.2;proto=http", HTTPS | client("192.0.2.7")),
        ("for=192.0.2.7;proto=https, for=unknown", {}),
        # Section 6.3: obfuscated; section 6.2: unknown.
        ("for=_gazonk;proto=https", HTTPS),
        ("for=192.0.2.7, for=_SEVKISEK", {}),
        ('for="_hidden:_port";proto=https', HTTPS),
        ('for="192.0.2.7:_port"', client("192.0.2.7")),
        ("for=unknown", {}),
        ("for=192.0.2.7, for=_x, for=10.0.0.2", client("10.0.0.2")),
        ("for=192.0.2.7, by=_x, for=10.0.0.2", client("10.0.0.2")),
        # Malformed.
        ("192.0.2.7", {}),
        ("for=", {}),
        ("for=x y", {}),
        ("for=192.0.2.7;for=192.0.2.8", {}),
        ("for=192.0.2.7;FOR=192.0.2.8", {}),
        ("for =192.0.2.7", {}),
        ("for= 192.0.2.7", {}),
        ('for="192.0.2.7', {}),
        ('for=192.0.2.7"', {}),
        ('for="192.0.\\2.7"', {}),
        ('for="192.0.2.7"x', {}),
        ("for=192.0.2.7,", {}),
        (";", {}),
        ("", {}),
        ("for=192.0.2.7;proto=gopher", client("192.0.2.7")),
        ('for=192.0.2.7;host="a b"', client("192.0.2.7")),
        # A client cannot make the quotes of our peer's element its own.
        ('for="203.0.113.9, for="[2001:db8::7]";proto=https', HTTPS | client("2001:db8::7")),
        ('for="x\\, for="[2001:db8::7]"', client("2001:db8::7")),
        ('for=203.0.113.9;by=", for=192.0.2.7', client("192.0.2.7")),
        ('"' * 5000 + ",for=192.0.2.7", client("192.0.2.7")),
        (',"' * 5000 + ",for=10.0.0.2", client("10.0.0.2")),
    ],
)
def test_forwarded(field: str, changes: dict[str, Any]) -> None:
    assert forwarded(field) == changes


def test_only_the_chosen_family_counts() -> None:
    both = {"FORWARDED": "for=192.0.2.7", "X_FORWARDED_FOR": "192.0.2.8"}
    assert corrected("forwarded", **both) == client("192.0.2.7")
    assert corrected("x-forwarded", **both) == client("192.0.2.8")
    assert corrected("none", **both) == {}


def test_no_field_no_change() -> None:
    assert corrected("x-forwarded") == corrected("forwarded") == {}


def test_back_from_https() -> None:
    """The proxy speaks TLS to us, the client does not speak it to the proxy."""
    environ: dict[str, Any] = {"wsgi.url_scheme": "https", "HTTPS": "on", "HTTP_X_FORWARDED_PROTO": "http"}
    correct = reader("x-forwarded", TRUSTED.__contains__)
    assert correct is not None
    correct(environ)
    assert environ["wsgi.url_scheme"] == "http"
    assert "HTTPS" not in environ


# Properties -------------------------------------------------------------------------------------------------------

addresses = st.ip_addresses().map(str)


@given(st.lists(st.text(max_size=30), max_size=5), addresses)
def test_whatever_a_client_sends_our_peer_has_the_last_word(invented: list[str], address: str) -> None:
    field = ",".join([*invented, address])
    expected = address if address not in TRUSTED else None
    if expected is not None:
        seen = x(FOR=field)["REMOTE_ADDR"]
        assert ipaddress.ip_address(seen) == ipaddress.ip_address(expected)


@given(st.text(alphabet='",;=\\ forx192.[]:_\t', max_size=60), addresses, st.booleans())
def test_the_same_for_forwarded(invented: str, address: str, quoted: bool) -> None:
    node = f'"[{address}]"' if ":" in address else (f'"{address}"' if quoted else address)
    if address not in TRUSTED:
        seen = forwarded(f"{invented}, for={node};proto=https")
        assert ipaddress.ip_address(seen["REMOTE_ADDR"]) == ipaddress.ip_address(address)
        assert seen["wsgi.url_scheme"] == "https"


@given(st.text(max_size=80))
def test_nothing_raises(text: str) -> None:
    parse_node(text)
    parse_element(text)
    assert sum(len(piece) + 1 for piece in elements_from_the_right(text)) <= len(text) + 2
    for name in ("FOR", "PROTO", "HOST", "PORT", "PREFIX"):
        x(**{name: text})
    forwarded(text)


@given(addresses, st.integers(1, 65535))
def test_every_form_of_a_node(address: str, port: int) -> None:
    bracketed = f"[{address}]" if ":" in address else address
    for text in (address, bracketed):
        node = parse_node(text)
        assert node is not None
        assert ipaddress.ip_address(node.address) == ipaddress.ip_address(address)
        assert node.port == ""
    node = parse_node(f"{bracketed}:{port}")
    assert node is not None
    assert ipaddress.ip_address(node.address) == ipaddress.ip_address(address)
    assert node.port == str(port)


def test_nothing_is_nothing() -> None:
    assert Client() == NOTHING
