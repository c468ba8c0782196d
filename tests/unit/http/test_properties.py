"""Generated requests: valid ones are read as they were meant, damaged ones never as something else than an error says."""

from __future__ import annotations

import string
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.http.errors import ProtocolError
from prefork.http.limits import Limits
from prefork.http.receiver import Request
from prefork.http.target import decode_path
from unit.http.cases import body_of, drive, new_receiver

unhurried = settings(deadline=None)  # a slow machine is no failure

STATUSES = {400, 413, 414, 417, 431, 501, 505}

tokens = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^`|~", min_size=1, max_size=20)
visible = "".join(map(chr, [*range(0x21, 0x7F), *range(0x80, 0x100)]))
values = st.lists(st.text(visible, min_size=1, max_size=12), max_size=4).map(" ".join)
paths = st.lists(st.text(string.ascii_letters + string.digits + "-._~;=,@:", max_size=8), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
OBEYED = {
    "host",
    "content-length",
    "transfer-encoding",
    "expect",
    "connection",
    "content-type",
    "proxy",
    "cookie",
}


@dataclass(frozen=True)
class Message:
    wire: bytes
    method: str
    target: str
    fields: dict[str, str]
    body: bytes


@st.composite
def messages(draw: st.DrawFn) -> Message:
    method = draw(
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]) | tokens.filter(lambda t: t != "CONNECT")
    )
    target = draw(paths) + draw(st.just("") | tokens.filter(lambda t: "#" not in t).map("?".__add__))
    pairs = draw(
        st.lists(st.tuples(tokens.filter(lambda name: name.lower() not in OBEYED), values), max_size=6)
    )
    lines = [
        "Host: a.example",
        *(name + ":" + draw(st.sampled_from(["", " ", "\t "])) + value for name, value in pairs),
    ]
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault("HTTP_" + name.upper().replace("-", "_"), []).append(value)
    body = draw(st.binary(max_size=40))
    coded = b""
    if draw(st.booleans()):
        lines.append("Transfer-Encoding: chunked")
        cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=3))})
        for start, end in pairwise(cuts):
            coded += b"%x\r\n%b\r\n" % (end - start, body[start:end])
        coded += b"0\r\n\r\n"
    elif body:
        lines.append(f"Content-Length: {len(body)}")
        coded = body
    text = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
    return Message(
        text.encode("latin-1") + coded,
        method,
        target,
        {name: ",".join(parts) for name, parts in fields.items()},
        body,
    )


def cut(draw: st.DrawFn, wire: bytes) -> list[bytes]:
    cuts = sorted({0, len(wire), *draw(st.lists(st.integers(0, len(wire)), max_size=8))})
    return [wire[start:end] for start, end in pairwise(cuts)]


def is_read_as(request: Request, message: Message) -> bool:
    environ = request.environ
    return (
        (request.head.method, request.head.target) == (message.method, message.target)
        and body_of(request) == message.body
        and {key: environ.get(key) for key in message.fields} == message.fields
    )


@unhurried
@given(st.lists(messages(), min_size=1, max_size=4), st.data())
def test_valid_requests_are_read_as_they_were_written(sent: list[Message], data: st.DataObject) -> None:
    wire = b"".join(message.wire for message in sent)
    receiver = new_receiver()
    requests = drive(receiver, data.draw(st.composite(lambda draw: cut(draw, wire))()))
    assert len(requests) == len(sent)
    assert all(is_read_as(request, message) for request, message in zip(requests, sent, strict=True))
    receiver.eof()


def summary(request: Request) -> tuple[str, str, bytes]:
    return request.head.line, repr(sorted(request.environ.items())), body_of(request)


DAMAGE = [
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"0",
    b"%",
    b"\x85",
    b"\xff",
]


@unhurried
@given(messages(), st.data())
def test_damaged_requests_raise_nothing_but_protocol_errors(message: Message, data: st.DataObject) -> None:
    wire = message.wire
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(wire)))
        drop = data.draw(st.integers(0, 3))
        wire = wire[:at] + data.draw(st.sampled_from(DAMAGE) | st.binary(max_size=2)) + wire[at + drop :]
    outcomes = set()
    for pieces in (
        [wire],
        [wire[i : i + 1] for i in range(len(wire))],
        data.draw(st.composite(lambda d: cut(d, wire))()),
    ):
        receiver = new_receiver(Limits(max_request_line=100, max_header_bytes=400))
        requests: list[Request] = []
        ending: int | None = None
        try:
            drive(receiver, pieces, requests)
            receiver.eof()
        except ProtocolError as error:
            assert error.status in STATUSES
            assert error.detail.isascii() and error.detail.isprintable()
            ending = error.status
        outcomes.add((tuple(summary(request) for request in requests), ending is None))
    assert len(outcomes) == 1, "how the bytes were cut must not matter"


@unhurried
@given(messages(), st.sampled_from([b"\r", b"\n", b"\0", b"\x0b", b"\x7f"]), st.data())
def test_a_control_character_in_a_head_is_always_refused(
    message: Message, damage: bytes, data: st.DataObject
) -> None:
    end = message.wire.index(b"\r\n\r\n") + 2
    inside = [
        at
        for at in range(1, end)
        if message.wire[at - 1 : at] != b"\r" and message.wire[at : at + 1] != b"\r"
    ]
    at = data.draw(st.sampled_from(inside))
    wire = message.wire[:at] + damage + message.wire[at:]
    receiver = new_receiver()
    try:
        requests = drive(receiver, [wire])
    except ProtocolError:
        return
    raise AssertionError(f"read as {[request.head for request in requests]}")


@unhurried
@given(st.binary(max_size=200))
def test_noise_raises_nothing_but_protocol_errors(noise: bytes) -> None:
    receiver = new_receiver()
    try:
        drive(receiver, [noise])
        receiver.eof()
    except ProtocolError as error:
        assert error.status in STATUSES


@unhurried
@given(st.binary().filter(lambda raw: b"\0" not in raw), st.booleans())
def test_percent_decoding_undoes_percent_encoding(raw: bytes, upper: bool) -> None:
    coded = "".join(f"%{byte:02X}" if upper else f"%{byte:02x}" for byte in raw)
    assert decode_path("/" + coded).encode("latin-1") == b"/" + raw
