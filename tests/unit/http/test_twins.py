"""The compiled twin and Python do the same: same environ in the same order, same head, same refusal, also for what is broken."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.generate import Dice, sample
from prefork.http import head as heads
from prefork.http import names
from prefork.http import response as responses
from prefork.http.errors import ProtocolError
from prefork.http.limits import Limits
from prefork.speedups import speedups
from unit.http.cases import ACCEPTED, REFUSED
from unit.http.test_properties import Message, messages

pytestmark = pytest.mark.skipif(speedups is None, reason="there is no compiled twin here")

BASE = {"wsgi.version": (1, 0), "SCRIPT_NAME": "", "SERVER_NAME": "a"}
DEFAULT = Limits()
SMALL = Limits(max_request_line=60, max_header_bytes=200, max_headers=4)
unhurried = settings(deadline=None)

BROWSER = (
    b"GET /shop/items?page=2&sort=%20price HTTP/1.1\r\nHost: www.example.com:8000\r\nAccept: */*\r\n"
    b"X-Caf: \xe9\r\nCookie: a=b; c=\xe9 \r\nConnection: keep-alive\r\nX-Request-Id:  1\t"
)
POST = (
    b"POST / HTTP/1.0\r\nhost: [::1]\r\ncontent-length: 5\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\nCookie: a\r\nCookie: b\r\nX_Y: z"
)


def outcome_of(
    parse: Callable[..., Any], block: bytes, limits: Limits
) -> tuple[object, list[tuple[str, Any]] | None]:
    """What a parser makes of `block`."""
    environ = dict(BASE)
    try:
        head = parse(block, limits, environ)
    except ProtocolError as error:
        return (error.status, error.detail), None
    return head, list(environ.items())


def assert_read_alike(block: bytes, limits: Limits = DEFAULT) -> None:
    assert speedups is not None
    python = outcome_of(heads.parse_head_in_python, block, limits)
    assert outcome_of(speedups.parse_head, block, limits) == python, block


def head_of(wire: bytes) -> bytes:
    return wire.removeprefix(b"\r\n").partition(b"\r\n\r\n")[0]


def test_it_is_the_compiled_one_that_is_used() -> None:
    assert speedups is not None
    assert heads.parse_head is speedups.parse_head
    assert responses.build_head is speedups.build_head


@pytest.mark.parametrize("case", [*ACCEPTED, *REFUSED], ids=lambda case: case.name)
def test_every_case_is_read_alike(case: Any) -> None:
    for limits in (case.limits or Limits(), SMALL):
        assert_read_alike(head_of(case.wire), limits)


@pytest.mark.parametrize("block", [BROWSER, POST], ids=["browser", "post"])
def test_every_byte_in_every_place_is_read_alike(block: bytes) -> None:
    for at in range(len(block)):
        for byte in range(256):
            assert_read_alike(block[:at] + bytes([byte]) + block[at + 1 :])


@pytest.mark.parametrize("block", [BROWSER, POST], ids=["browser", "post"])
def test_every_cut_and_every_insertion_is_read_alike(block: bytes) -> None:
    for at in range(len(block) + 1):
        assert_read_alike(block[:at])
        assert_read_alike(block[at:])
        for piece in (
            b"\r\n",
            b"\r\n ",
            b"\r",
            b"\n",
            b"\0",
            b": ",
            b":",
            b" ",
            b"\t",
            b"\x7f",
            b"?",
            b"%",
            b"\xff",
        ):
            assert_read_alike(block[:at] + piece + block[at:])


@pytest.mark.parametrize(
    "value", ["", "x", "close", "keep-alive", "5", "chunked", "100-continue", "a.b:80", "a:123456", "a@b"]
)
def test_every_name_is_read_alike(value: str) -> None:
    for name in [*names.KEYS, "HOST", "hOST", "CONNECTION", "eXPECT", "Unheard-Of"]:
        for lines in (
            "{}: {}",
            "Host: a\r\n{}: {}",
            "Host: a\r\nA: b\r\n{}:{}",
            "Host: a\r\n{}: {}\r\nHost: b",
        ):
            fields = lines.format(name, value).encode()
            assert_read_alike(b"GET / HTTP/1.1\r\n" + fields)
            assert_read_alike(b"GET / HTTP/1.0\r\n" + fields)


@pytest.mark.parametrize("count", [0, 4, 5, 99, 100, 101, 126, 127, 128, 129, 300])
@pytest.mark.parametrize("limits", [DEFAULT, SMALL, Limits(max_headers=1000)])
def test_any_number_of_fields_is_read_alike(count: int, limits: Limits) -> None:
    for line in (b"\r\nX-%d: y", b"\r\nAccept: %d"):
        assert_read_alike(
            b"GET / HTTP/1.1\r\nHost: a" + b"".join(line % number for number in range(count)), limits
        )


@pytest.mark.parametrize("size", [0, 1, 40, 46, 47, 48, 254, 255, 256, 8177, 8178, 8179, 40000])
def test_any_size_is_read_alike(size: int) -> None:
    for limits in (DEFAULT, SMALL):
        assert_read_alike(b"GET /%b HTTP/1.1\r\nHost: a" % (b"a" * size), limits)
        assert_read_alike(b"GET / HTTP/1.1\r\nHost: %b" % (b"a" * size), limits)
        assert_read_alike(b"GET / HTTP/1.1\r\nHost: %b:80" % (b"a" * size), limits)
        assert_read_alike(b"GET / HTTP/1.1\r\nHost: a\r\n%b: b" % (b"a" * size), limits)


@unhurried
@given(messages(), st.sampled_from([DEFAULT, SMALL]))
def test_valid_requests_are_read_alike(message: Message, limits: Limits) -> None:
    assert_read_alike(head_of(message.wire), limits)


@unhurried
@given(st.integers(0, 1 << 60))
def test_damaged_requests_are_read_alike(seed: int) -> None:
    wire = sample(Dice(seed))
    assert_read_alike(head_of(wire))
    assert_read_alike(wire)


@unhurried
@given(st.binary(max_size=100))
def test_noise_is_read_alike(noise: bytes) -> None:
    assert_read_alike(noise)
    assert_read_alike(b"GET / HTTP/1.1\r\n" + noise)


# Responses ------------------------------------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


class Headers(list):  # type: ignore[type-arg]
    pass


def assert_built_alike(status: Any, headers: Any) -> None:
    assert speedups is not None
    outcomes: list[object] = []
    for build in (responses.build_head_in_python, speedups.build_head):
        try:
            head = build(status, headers)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
            outcomes.append((type(error), str(error)))
        else:
            outcomes.append({name: getattr(head, name) for name in head.__struct_fields__})
    assert outcomes[0] == outcomes[1], (status, headers)


ODD: list[Any] = [
    None,
    5,
    b"x",
    "",
    "x\r\ny",
    "\x7f",
    "\t",
    "\xe9",
    "€",
    "\ud800",
    Text("x"),
    "x" * 5000,
    [],
    (),
]
STATUSES: list[Any] = [
    *responses._STATUS,
    "200",
    "200 ",
    "200 Fine",
    "299 x",
    "2000",
    "100 Continue",
    "600 x",
    Text("200 OK"),
    *ODD,
]


@pytest.mark.parametrize(
    "headers",
    [[], [("Content-Length", "5")], [("Content-Length", "5"), ("X-Y", "z")]],
    ids=["none", "one", "two"],
)
def test_every_status_is_built_alike(headers: Any) -> None:
    for status in STATUSES:
        assert_built_alike(status, headers)


NAMES = [
    *responses._KINDS,
    "DATE",
    "SERVER",
    "cONTENT-lENGTH",
    "Te",
    "X-Y",
    "a" * 63,
    "a" * 64,
    "a" * 65,
    "a b",
    "caf\xe9",
    "a:",
]


def test_every_name_is_built_alike() -> None:
    values = [*ODD, "5", "05", "9" * 18, "9" * 19, "9" * 20, "+5", "\xb2", "close", "a, b"]
    for name in [*NAMES, *ODD]:
        for value in values:
            assert_built_alike("200 OK", [(name, value)])
            assert_built_alike("304 Not Modified", [("Content-Type", "a"), (name, value), (name, value)])


def test_every_character_is_built_alike() -> None:
    for number in range(300):
        char = chr(number)
        assert_built_alike("200 OK", [("X-A", f"a{char}b")])
        assert_built_alike("200 OK", [(f"X-{char}", "a")])
        assert_built_alike("200 OK", [(f"{char}", "a")])
        assert_built_alike(f"200 {char}", [])


def test_every_kind_of_headers_is_built_alike() -> None:
    for headers in (
        (),
        (("A", "b"),),
        [["A", "b"]],
        [("A", "b", "c")],
        [("A",)],
        ["AB"],
        [None],
        [5],
        None,
        5,
        {},
        Headers([("A", "b")]),
        [("A", "b")] * 64,
        [("A", "b")] * 65,
        [("A", "b")] * 200,
        [("Date", "a"), ("Server", "b"), ("date", "c")],
    ):
        assert_built_alike("200 OK", headers)


texts = st.text(st.characters(max_codepoint=0x120), max_size=8)


@unhurried
@given(
    st.sampled_from(STATUSES[:40]) | texts,
    st.lists(
        st.tuples(st.sampled_from(NAMES) | texts, st.sampled_from(["1", "12", "close"]) | texts), max_size=6
    ),
)
def test_generated_responses_are_built_alike(status: str, headers: list[tuple[str, str]]) -> None:
    assert_built_alike(status, headers)


# What Python would never do to it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [(), (b"",), (b"", Limits()), ("", Limits(), {}), (b"", Limits(), []), (b"", None, {})]
)
def test_wrong_arguments_are_errors_not_crashes(arguments: tuple[Any, ...]) -> None:
    assert speedups is not None
    with pytest.raises((TypeError, AttributeError)):
        speedups.parse_head(*arguments)
    if len(arguments) != 2:
        with pytest.raises(TypeError):
            speedups.build_head(*arguments)


def test_it_is_prepared_once() -> None:
    assert speedups is not None
    with pytest.raises(ValueError, match="called twice"):
        speedups.prepare_requests(len, len, len, len, len, {}, (), bytes(256))
    with pytest.raises(ValueError, match="called twice"):
        speedups.prepare_responses(len, len, {}, {}, {}, bytes(256))


HEADS = [
    BROWSER,
    POST,
    BROWSER + b"\r\nHost: b",
    BROWSER + b"\r\nX-New-Name: b\r\nx",
    b"GET / HTTP/2.0\r\nA: b",
    b"\0",
    b"",
]
RESPONSES: list[tuple[Any, Any]] = [
    ("200 OK", [("Content-Type", "a"), ("X-Custom", "\xe9"), ("Content-Length", "700000"), ("Date", "x")]),
    ("200 OK", [("Connection", "close"), ("A", "b")]),
    ("200 OK", [("A", "\n")]),
    ("99", []),
]


def everything_once() -> None:
    assert speedups is not None
    for block in HEADS:
        with contextlib.suppress(ProtocolError):
            speedups.parse_head(block, DEFAULT, dict(BASE))
    for status, headers in RESPONSES:
        with contextlib.suppress(responses.InvalidResponseError):
            speedups.build_head(status, headers)


def test_nothing_leaks() -> None:
    key = names.KEYS["Host"]
    everything_once()
    gc.collect()
    blocks, references = sys.getallocatedblocks(), sys.getrefcount(key)
    for _ in range(500):
        everything_once()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 250  # half an object a turn would be a leak
    assert abs(sys.getrefcount(key) - references) < 250


WITHOUT_MEMORY = """
import sys
import _testcapi
from unit.http import test_twins as twins
from prefork.http.errors import ProtocolError
from prefork.http.response import InvalidResponseError

def fails_at(number, call, *arguments):
    _testcapi.set_nomemory(number, number + 1)
    try:
        call(*arguments)
    except MemoryError:
        return True
    except (ProtocolError, InvalidResponseError):
        return False
    finally:
        _testcapi.remove_mem_hooks()
    return False

twins.everything_once()
# Only what calls no Python: without memory for a frame, CPython itself gives errors without exception.
failures = 0
for number in range(1, 80):
    failures += fails_at(number, twins.speedups.parse_head, twins.BROWSER, twins.DEFAULT, dict(twins.BASE))
    failures += fails_at(number, twins.speedups.build_head, *twins.RESPONSES[0])
twins.everything_once()
print(failures)
"""


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 13), reason="dict.setdefault of CPython 3.13.0 crashes without memory"
)
def test_every_allocation_may_fail() -> None:
    """In a process of its own: what a mistake there breaks is the interpreter."""
    pytest.importorskip("_testcapi")
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 12
