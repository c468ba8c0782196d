"""Response heads: what is refused, what steers the server, what goes on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from prefork.http.response import (
    CONTINUE,
    LAST_CHUNK,
    InvalidResponseError,
    build_head,
    chunk,
    early_hints,
    parse_status,
    short_answer,
)
from support.wire import parse_answer

CONTROLS = [chr(c) for c in range(32) if chr(c) != "\t"] + ["\x7f"]
LONG_PHRASE = "Network Authentication Required"


def spellings(name: str) -> list[str]:
    """A field name as applications may write it."""
    return [name, name.lower(), name.upper(), name.swapcase(), name[:1].lower() + name[1:]]


# Status ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("200 OK", 200),
        ("404 Not Found", 404),
        ("511 " + LONG_PHRASE, 511),
        ("299 Whatever We Say", 299),
        ("200 ", 200),
        ("200", 200),
        ("599 caf\xe9\ttab", 599),
    ],
)
def test_status_is_taken_as_it_is(status: str, code: int) -> None:
    assert parse_status(status) == code
    head = build_head(status, [])
    assert head.status == code
    expected = f"HTTP/1.1 {status}" + (" " if len(status) == 3 else "") + "\r\n"
    assert head.block == expected.encode("latin-1")


@pytest.mark.parametrize(
    "status",
    [
        "",
        "20",
        "OK",
        "200OK",
        "2000 OK",
        "200\tOK",
        " 200 OK",
        "-20 OK",
        "+20 OK",
        "2 0 OK",
        "100 Continue",
        "101 Switching Protocols",
        "103 Early Hints",
        "199 X",
        "000 X",
        "600 X",
        "999 X",
        "٢٠٠ OK",
        "²00 OK",
        "200\r\nX: y",
        b"200 OK",
        200,
        None,
    ],
)
def test_status_is_refused(status: Any) -> None:
    with pytest.raises(InvalidResponseError, match="status"):
        parse_status(status)
    with pytest.raises(InvalidResponseError, match="status"):
        build_head(status, [])


@pytest.mark.parametrize("control", CONTROLS)
def test_reason_holds_no_control_character(control: str) -> None:
    for status in (f"200 {control}", f"200 O{control}K", f"200 OK{control}"):
        with pytest.raises(InvalidResponseError, match="'status' holds a control character"):
            build_head(status, [])


def test_reason_is_latin_1() -> None:
    with pytest.raises(InvalidResponseError, match="'status' holds characters outside latin-1"):
        build_head("200 €", [])


# Fields ---------------------------------------------------------------------------------------------------------------


def test_fields_go_out_as_they_came_and_in_their_order() -> None:
    fields = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("set-cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-My-Own", "tab\there"),
        ("x_under", "caf\xe9"),
        ("ETag", ""),
    ]
    block = build_head("200 OK", fields).block
    assert block == b"HTTP/1.1 200 OK\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields).encode("latin-1")


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("name", ["Content-Type", "X-Own", "Date", "Server"])
def test_value_holds_no_control_character(name: str, control: str) -> None:
    for value in (control, f"a{control}", f"{control}b", f"a{control}b", f"a{control}{control}b"):
        with pytest.raises(InvalidResponseError, match=f"'{name}' holds a control character"):
            build_head("200 OK", [("X-Good", "1"), (name, value), ("X-Better", "2")])


def test_a_response_cannot_be_split() -> None:
    for value in ("x\r\nSet-Cookie: admin=1", "x\nSet-Cookie: admin=1", "x\r\n\r\n<script>", "x\rX: y"):
        with pytest.raises(InvalidResponseError, match="Location"):
            build_head("302 Found", [("Location", value)])


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "A B",
        "A:",
        ":A",
        "A\r\nB",
        "A\n",
        "\x00",
        "Caf\xe9",
        "€",
        "A\tB",
        "A(",
        "A/B",
        'A"',
        "A,B",
        "Content-Type ",
    ],
)
def test_name_is_a_token(name: str) -> None:
    with pytest.raises(InvalidResponseError, match="not a token"):
        build_head("200 OK", [(name, "x")])


@pytest.mark.parametrize("name", ["!#$%&'*+-.^_`|~", "a", "Z", "0", "X-Y_Z.1"])
def test_every_token_is_a_name(name: str) -> None:
    assert build_head("200 OK", [(name, "x")]).block.endswith(f"\r\n{name}: x\r\n".encode())


def test_value_is_latin_1() -> None:
    with pytest.raises(InvalidResponseError, match="'X-Price' holds characters outside latin-1"):
        build_head("200 OK", [("A", "b"), ("X-Price", "5 €")])


@pytest.mark.parametrize("value", [1, None, b"x", ["x"], 1.5])
@pytest.mark.parametrize("name", ["Content-Type", "X-Own", "Content-Length", "Connection", "Date"])
def test_value_is_a_str(name: str, value: Any) -> None:
    with pytest.raises(InvalidResponseError, match=f"'{name}' must be a str, not {type(value).__name__}"):
        build_head("200 OK", [(name, value)])


@pytest.mark.parametrize("name", [1, None, b"Content-Type", 1.5])
def test_name_is_a_str(name: Any) -> None:
    with pytest.raises(InvalidResponseError, match="header name must be str"):
        build_head("200 OK", [(name, "x")])


@pytest.mark.parametrize("field", [("A",), ("A", "b", "c"), None, 5, ([], "x"), ({}, "x"), "ABC"])
def test_field_is_a_pair(field: Any) -> None:
    with pytest.raises(InvalidResponseError, match=r"must be a \(name, value\) tuple"):
        build_head("200 OK", [field])


# Fields that steer the server -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", spellings("Content-Length"))
def test_content_length_is_noted_and_sent(name: str) -> None:
    head = build_head("200 OK", [(name, "042")])
    assert head.content_length == 42
    assert head.block.endswith(f"{name}: 042\r\n".encode())


@pytest.mark.parametrize(
    "value", ["", " ", "-1", "+1", "1.0", "1 ", " 1", "0x10", "1,1", "1, 1", "٣", "²", "1_0", "1" * 20]
)
def test_content_length_is_a_plain_number(value: str) -> None:
    with pytest.raises(InvalidResponseError, match="Content-Length must be a plain decimal"):
        build_head("200 OK", [("Content-Length", value)])


@pytest.mark.parametrize("again", ["5", "6"])
def test_content_length_is_given_once(again: str) -> None:
    with pytest.raises(InvalidResponseError, match="twice"):
        build_head("200 OK", [("Content-Length", "5"), ("content-LENGTH", again)])


def test_204_has_no_content_length_and_304_may_have_one() -> None:
    assert b"ength" not in build_head("204 No Content", [("Content-Length", "5")]).block
    assert build_head("304 Not Modified", [("Content-Length", "5")]).block.endswith(b"Content-Length: 5\r\n")


@pytest.mark.parametrize(
    ("status", "has_body"),
    [("200 OK", True), ("204 X", False), ("304 X", False), ("404 X", True), ("205 X", True)],
)
def test_has_body(status: str, has_body: bool) -> None:
    assert build_head(status, []).has_body is has_body


@pytest.mark.parametrize("name", spellings("Transfer-Encoding"))
@pytest.mark.parametrize("value", ["chunked", "identity", ""])
def test_transfer_encoding_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidResponseError, match="Transfer-Encoding belongs to the server"):
        build_head("200 OK", [(name, value)])


@pytest.mark.parametrize("name", spellings("Connection"))
@pytest.mark.parametrize(
    ("value", "close"),
    [
        ("close", True),
        ("Close", True),
        ("keep-alive, CLOSE", True),
        ("x ,\tclose ,y", True),
        ("keep-alive", False),
        ("closed", False),
        ("", False),
    ],
)
def test_connection_close_is_honoured_and_the_field_left_out(name: str, value: str, close: bool) -> None:
    head = build_head("200 OK", [(name, value), ("A", "b")])
    assert head.close is close
    assert head.block == b"HTTP/1.1 200 OK\r\nA: b\r\n"


def test_close_stays_close() -> None:
    assert build_head("200 OK", [("Connection", "close"), ("Connection", "keep-alive")]).close


@pytest.mark.parametrize(
    "name",
    [s for n in ("Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade") for s in spellings(n)],
)
def test_hop_by_hop_fields_are_left_out(name: str) -> None:
    assert build_head("200 OK", [(name, "x")]).block == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("name", spellings("Date"))
def test_date_of_the_application_is_kept(name: str) -> None:
    head = build_head("200 OK", [(name, "Sun, 06 Nov 1994 08:49:37 GMT")])
    assert head.has_date
    assert not head.has_server
    assert head.block.endswith(f"{name}: Sun, 06 Nov 1994 08:49:37 GMT\r\n".encode())


@pytest.mark.parametrize("name", spellings("Server"))
def test_server_of_the_application_is_kept(name: str) -> None:
    head = build_head("200 OK", [(name, "mine")])
    assert head.has_server
    assert not head.has_date
    assert head.block.endswith(f"{name}: mine\r\n".encode())


def test_nothing_is_learned_from_names() -> None:
    from prefork.http import response

    known = len(response._KINDS)
    for number in range(100):
        build_head("200 OK", [(f"X-{number}", "x")])
    assert len(response._KINDS) == known


# Interim and short answers ----------------------------------------------------------------------------------------------


def test_early_hints() -> None:
    raw = early_hints([("Link", "</a.css>; rel=preload"), ("Link", "</b.js>; rel=preload")])
    assert raw.startswith(b"HTTP/1.1 103 Early Hints\r\n")
    answer = parse_answer(raw + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    (hints,) = answer.interim
    assert hints.status_code == 103
    assert hints.headers.raw_items() == [
        (b"Link", b"</a.css>; rel=preload"),
        (b"Link", b"</b.js>; rel=preload"),
    ]


def test_early_hints_have_no_framing() -> None:
    # RFC 9110 section 8.6: no Content-Length in a 1xx response.
    raw = early_hints([("Content-Length", "5"), ("Connection", "close"), ("Link", "x")])
    assert raw == b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


@pytest.mark.parametrize(
    "field", [("Link", "a\r\n\r\nHTTP/1.1 200 OK"), ("A B", "x"), ("Link", 1), ("Transfer-Encoding", "x")]
)
def test_early_hints_are_checked(field: Any) -> None:
    with pytest.raises(InvalidResponseError):
        early_hints([field])


@pytest.mark.parametrize("status", [400, 408, 413, 414, 417, 431, 500, 501, 503, 505, 599])
@pytest.mark.parametrize("head_only", [False, True])
def test_short_answer(status: int, head_only: bool) -> None:
    raw = short_answer(status, date_and_server=b"Server: x\r\nDate: y\r\n", head_only=head_only)
    answer = parse_answer(raw, "HEAD" if head_only else "GET")
    assert answer.status == status
    assert answer.one("connection") == b"close"
    assert answer.one("server") == b"x"
    assert answer.body == (b"" if head_only else f"{status} {answer.reason.decode()}\n".encode())
    assert answer.one("content-length") == b"%d" % len(f"{status} {answer.reason.decode()}\n")


def test_short_answer_with_a_field_more() -> None:
    raw = short_answer(503, date_and_server=b"", extra=b"Retry-After: 1\r\n")
    assert parse_answer(raw).one("retry-after") == b"1"


def test_chunks() -> None:
    raw = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"a" * 26) + chunk(b"b") + LAST_CHUNK
    )
    assert parse_answer(raw).body == b"a" * 26 + b"b"


def test_continue() -> None:
    answer = parse_answer(CONTINUE + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert [interim.status_code for interim in answer.interim] == [100]
