"""Inputs for the fuzzer: valid pipelines of requests, taken apart into their structure, and damaged there or byte by byte.

Only `random()` of one seeded generator is used: the same seed gives the same inputs on every version of Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

T = TypeVar("T")

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: hidden.example\r\n\r\n"
"""A request inside of another: nobody may ever read it as one."""


class Dice:
    """Choices from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random

    def below(self, end: int) -> int:
        return int(self._random() * end)

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def chance(self, of_hundred: int) -> bool:
        return self._random() * 100 < of_hundred


@dataclass
class Message:
    """A request as a list of parts, each of which can be damaged."""

    start: list[bytes]
    fields: list[list[bytes]] = field(default_factory=list)
    """Name, what stands between, value, line end."""
    end: bytes = b"\r\n"
    body: list[bytes] = field(default_factory=list)
    """Lines and data of a body, in order."""

    @property
    def wire(self) -> bytes:
        return b"".join([*self.start, *(b"".join(line) for line in self.fields), self.end, *self.body])


METHODS = [b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"M-SEARCH", b"x"]
TARGETS = [
    b"/",
    b"/a/b?c=d",
    b"/%41%2f?x=%zz",
    b"http://b.example/x",
    b"*",
    b"//a",
    b"/a|b{c}",
    b"/?",
    b"/~a;b=c",
]
VERSIONS = [b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/1.2"]
NAMES = [
    b"Accept",
    b"accept",
    b"X-New",
    b"Cookie",
    b"User-Agent",
    b"TE",
    b"X_Under",
    b"Proxy",
    b"X!#$%&'*+-.^`|~9",
]
VALUES = [
    b"",
    b"x",
    b"a, b",
    b"text/html;q=0.8",
    b"a=b; c=d",
    b"caf\xe9",
    b"a  b\tc",
    b'"quoted"',
    b": :",
    b"\xa0",
]
SPACES = [b": ", b": ", b": ", b":", b":\t", b": \t "]
CONNECTIONS = [b"close", b"keep-alive", b"Close, TE", b"TE", b"keep-alive, close", b", ,", b"upgrade, close"]
EXTENSIONS = [b"", b"", b"", b";a", b";a=b", b';a="b;c\\"d"', b";a=b;c=d"]
TRAILERS = [b"", b"", b"X-Sum: 1\r\n", b"X-A: \xff\r\nX-B:c\r\n"]

BAD_LENGTHS = [
    b"+5", b"-5", b"5, 5", b"5,6", b"0x5", b"5 ", b" 5", b"5\t", b"05", b"5.0", b"1e1", b"", b"\x0b5", b"5\x00", b"5;",
    b"99999999999999999999", b"18446744073709551621", b"9223372036854775808", b"\xb2", b"5_0", b"\xa05", b'"5"', b"five",
]  # fmt: skip
BAD_CODINGS = [
    b"chunked", b"Chunked", b"\x0bchunked", b"\x0cchunked", b"chunked\x00", b"chunked, chunked", b"identity", b"gzip, chunked",
    b"chunked, gzip", b"chunked;q=1", b"xchunked", b"chunked ", b"\tchunked", b",chunked", b"chunked,", b'"chunked"', b"",
    b"chunk", b"\xa0chunked", b"chunked\r\n\tx", b"chu\r\n nked", b"identity, chunked", b"cow, chunked", b"chunked\r",
]  # fmt: skip
BAD_SIZES = [
    b"+5", b"-5", b"0x5", b"5 ", b" 5", b"\t5", b"5\t", b"", b"g", b"00000000000000005", b"ffffffffffffffff",
    b"10000000000000005", b"5;", b"5;a=\n", b"5;a\rb", b"5\x00", b"5_", b"0", b"00", b"5;" + b"a" * 300,
    b"fffffffffffffff", b"5,5", b"\xb25",
]  # fmt: skip
LINE_ENDS = [
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"\r\n\r\n",
    b"",
    b"\r\n ",
    b"\r\n\t",
    b"\x0b\r\n",
    b" \r\n",
    b"\x85",
    b"\0\r\n",
]
BETWEEN = [b" : ", b"\t: ", b" :", b"", b"::", b":\r\n ", b"\r\n: ", b"\xa0: ", b": \x0b", b"=", b"\0:"]
ODD_NAMES = [
    b"Content-Length", b"content-length", b"CONTENT-LENGTH", b"Content_Length", b"Content-Length ", b" Content-Length",
    b"Transfer-Encoding", b"transfer-encoding", b"Transfer_Encoding", b"Transfer-Encoding\t", b"Transfer\xadEncoding",
    b"Host", b"HOST", b"H\xf6st", b"X(A)", b"", b"Connection", b"Expect", b"X\0A", b"Content-Length\xa0", b"Upgrade",
]  # fmt: skip
ODD_VERSIONS = [
    b"HTTP/2.0",
    b"HTTP/1.10",
    b"HTTP/1.1 ",
    b"http/1.1",
    b"HTTP/0.9",
    b"HTTP/1.",
    b"HTTP/11",
    b"",
    b"HTTP/1.1\t",
]
BYTES = [
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\r\n",
    b"\r\n\r\n",
    b"0",
    b"%",
    b"\x85",
    b"\xff",
    b"0\r\n\r\n",
]


def valid(dice: Dice) -> Message:
    """A request that is read by everybody, and the same by all."""
    version = dice.pick(VERSIONS)
    message = Message([dice.pick(METHODS), b" ", dice.pick(TARGETS), b" ", version, b"\r\n"])
    lines = [[b"Host", b": ", dice.pick([b"a.example", b"[::1]:80", b"a"]), b"\r\n"]]
    lines += [[dice.pick(NAMES), dice.pick(SPACES), dice.pick(VALUES), b"\r\n"] for _ in range(dice.below(4))]
    if dice.chance(25):
        lines.append([b"Connection", b": ", dice.pick(CONNECTIONS), b"\r\n"])
    content = dice.pick(
        [b"", b"hello", HIDDEN, b"0\r\n\r\n" + HIDDEN, b"5\r\nhello\r\n0\r\n\r\n", b"\r\n\r\n"]
    )
    kind = dice.below(3)
    if kind == 1:
        lines.append([b"Content-Length", b": ", b"%d" % len(content), b"\r\n"])
        message.body = [content]
    elif kind == 2 and version != b"HTTP/1.0":
        lines.append([b"Transfer-Encoding", b": ", b"chunked", b"\r\n"])
        message.body = chunks(dice, content)
    if dice.chance(30):
        at = dice.below(len(lines))
        lines[at:] = lines[at:][::-1]
    message.fields = lines
    return message


def chunks(dice: Dice, content: bytes) -> list[bytes]:
    parts: list[bytes] = []
    while content:
        size = 1 + dice.below(len(content))
        digits = dice.pick([b"%x", b"%X", b"0%x"]) % size
        parts += [digits, dice.pick(EXTENSIONS), b"\r\n", content[:size], b"\r\n"]
        content = content[size:]
    return [*parts, b"0", dice.pick(EXTENSIONS), b"\r\n", dice.pick(TRAILERS), b"\r\n"]


def _field(dice: Dice, message: Message) -> list[bytes]:
    if not message.fields:
        message.fields.append([b"Host", b": ", b"a", b"\r\n"])
    return dice.pick(message.fields)


def _set_length(dice: Dice, message: Message) -> None:
    size = sum(map(len, message.body))
    plain = [b"%d" % max(0, size + dice.below(5) - 2), b"0", b"5"]
    message.fields.append([b"Content-Length", b": ", dice.pick([*BAD_LENGTHS, *plain]), b"\r\n"])


def _set_coding(dice: Dice, message: Message) -> None:
    message.fields.append([b"Transfer-Encoding", b": ", dice.pick(BAD_CODINGS), b"\r\n"])


def _change_value(dice: Dice, message: Message) -> None:
    line = _field(dice, message)
    bad = BAD_LENGTHS if line[0].lower() == b"content-length" else BAD_CODINGS
    line[2] = dice.pick([*bad, b"a\rb", b"a\nb: c", b"\0", b"\x7f", b"x" * 200])


def _change_name(dice: Dice, message: Message) -> None:
    _field(dice, message)[0] = dice.pick(ODD_NAMES)


def _change_between(dice: Dice, message: Message) -> None:
    _field(dice, message)[1] = dice.pick(BETWEEN)


def _change_line_end(dice: Dice, message: Message) -> None:
    place = dice.below(3)
    if place == 0:
        message.end = dice.pick(LINE_ENDS)
    elif place == 1:
        message.start[-1] = dice.pick(LINE_ENDS)
    else:
        _field(dice, message)[3] = dice.pick(LINE_ENDS)


def _repeat_field(dice: Dice, message: Message) -> None:
    message.fields.insert(dice.below(len(message.fields) + 1), list(_field(dice, message)))


def _drop_field(dice: Dice, message: Message) -> None:
    if message.fields:
        del message.fields[dice.below(len(message.fields))]


def _change_start(dice: Dice, message: Message) -> None:
    if dice.chance(50) and len(message.start) > 4:
        message.start[4] = dice.pick(ODD_VERSIONS)
    else:
        message.start[dice.below(len(message.start))] = dice.pick(
            [*BYTES, b"http://c.example/", b"CONNECT", b"a b"]
        )


def _change_body(dice: Dice, message: Message) -> None:
    if not message.body:
        message.body.append(HIDDEN)
    elif dice.chance(60):
        message.body[dice.below(len(message.body))] = dice.pick(
            [*BAD_SIZES, *LINE_ENDS, HIDDEN, b"X-A: b\r\n"]
        )
    else:
        message.body.insert(
            dice.below(len(message.body) + 1), dice.pick([*BYTES, b"Host: x\r\n", b"5\r\n", HIDDEN])
        )


def _shorten(dice: Dice, message: Message) -> None:
    if message.body:
        del message.body[dice.below(len(message.body)) :]


STRUCTURAL: list[Callable[[Dice, Message], None]] = [
    _set_length,
    _set_coding,
    _change_value,
    _change_name,
    _change_between,
    _change_line_end,
    _repeat_field,
    _drop_field,
    _change_start,
    _change_body,
    _shorten,
]


def damage_bytes(dice: Dice, wire: bytes) -> bytes:
    """One change that knows nothing of HTTP."""
    at = dice.below(len(wire) + 1)
    kind = dice.below(5)
    if kind == 0:
        return wire[:at] + dice.pick(BYTES) + wire[at:]
    if kind == 1:
        return wire[:at] + wire[at + 1 + dice.below(4) :]
    if kind == 2:
        return wire[:at] + bytes([dice.below(256)]) + wire[at + 1 :]
    if kind == 3:
        return wire[:at] + wire[dice.below(at + 1) : at] + wire[at:]
    return wire[:at]


def sample(dice: Dice) -> bytes:
    """One input: one to three requests, most of them damaged at one to three places."""
    messages = [valid(dice) for _ in range(1 + dice.below(3))]
    if not dice.chance(10):
        for _ in range(dice.pick([1, 1, 1, 1, 2, 2, 3])):
            dice.pick(STRUCTURAL)(dice, dice.pick(messages))
    wire = b"".join(message.wire for message in messages)
    if dice.chance(10):
        wire = b"\r\n" + wire
    while wire and dice.chance(15):
        wire = damage_bytes(dice, wire)
    return wire


def cuts(dice: Dice, wire: bytes) -> list[bytes]:
    """The same bytes as a network may deliver them."""
    pieces = []
    while wire:
        size = 1 + dice.below(min(len(wire), dice.pick([1, 3, 20, 1000])))
        pieces.append(wire[:size])
        wire = wire[size:]
    return pieces
