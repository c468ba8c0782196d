"""The compiled way to an access line and Python write the same, also of what an application has made of the environ."""

from __future__ import annotations

import gc
import re
import sys
import types
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.observe import access_format
from prefork.observe.access import BATCH, AccessLog
from prefork.observe.access_entry import AccessEntry
from prefork.observe.access_format import PRESETS, ApacheLineInPython, compile_format, short_way
from prefork.speedups import access

pytestmark = pytest.mark.skipif(access is None, reason="there is no compiled twin here")

NOW_NS = 1_795_259_832_123_456_789
ENVIRON = {
    "REMOTE_ADDR": "192.0.2.7",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/caf%C3%A9?a=1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_REFERER": "http://example.org/",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11)",
}
KEYS = [*ENVIRON, "REMOTE_USER"]


class Word(str):
    """What an application may put into the place of a string."""

    def __format__(self, spec: str) -> str:
        return "formatted"


class Disk:
    """A writer."""

    def __init__(self) -> None:
        self.lost = 0
        self.lines: list[bytes] = []

    def write_all(self, lines: list[bytes]) -> bool:
        self.lines += lines
        return True


def time_text(now_s: int) -> str:
    return f"<{now_s}>"


def made(combined: bool) -> Any:
    assert access is not None
    return access.ApacheLine(combined, time_text)


def test_the_compiled_one_is_used() -> None:
    assert access is not None
    assert access_format.ApacheLine is access.ApacheLine
    log = AccessLog(Disk(), compile_format("combined"), short=short_way("combined"), holds=True)
    assert type(log.tell.__self__) is access.Batch  # type: ignore[attr-defined]


@pytest.mark.parametrize("combined", [False, True])
def test_an_ordinary_request_takes_the_short_way(combined: bool) -> None:
    python = ApacheLineInPython(combined, time_text)
    for odd in (
        {},
        {"HTTP_REFERER": None},
        {"REMOTE_USER": ""},
        {"REMOTE_ADDR": ""},
        {"HTTP_USER_AGENT": "x" * 30_000},
    ):
        environ = {**ENVIRON, **odd}
        line = made(combined).write(environ, 200, 1234, NOW_NS)
        assert line is not None
        assert line == python.write(environ, 200, 1234, NOW_NS)


ascii_text = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126))
any_text = ascii_text | st.text(alphabet='"\\ \r\n\tx\x7f\x00\xff\u20ac\ud800') | st.text()
values = (
    any_text | any_text.map(Word) | st.none() | st.integers() | st.binary() | st.just([]) | st.just(["\n"])
)
environs = st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, values)).map(lambda odd: {**ENVIRON, **odd})
numbers = st.integers(0, 10**12) | st.integers() | st.booleans()


@settings(deadline=None)  # a slow machine is no failure
@given(environs, numbers, numbers, st.integers(0, 2**62), st.booleans())
def test_what_it_writes_is_what_python_writes(
    environ: dict[str, Any], status: int, body_bytes: int, now_ns: int, combined: bool
) -> None:
    line = made(combined).write(environ, status, body_bytes, now_ns)
    # Where it passes, Python has the choice. What is simple for it too, it writes alike.
    if line is not None:
        assert line == ApacheLineInPython(combined, time_text).write(environ, status, body_bytes, now_ns)


@settings(deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(ENVIRON, any_text)), st.sampled_from([*PRESETS]))
def test_the_short_way_and_the_long_one_meet(environ: dict[str, str], name: str) -> None:
    entry = AccessEntry(environ, 200, 1234, 0, NOW_NS)
    # The text of a preset is no preset: it is always written the long way.
    assert compile_format(name)(entry) == compile_format(PRESETS[name])(entry)


def test_every_character_in_every_field() -> None:
    for key in KEYS:
        for code in range(257):
            environ = {**ENVIRON, key: f"a{chr(code)}b"}
            entry = AccessEntry(environ, 200, 1234, 0, NOW_NS)
            assert compile_format("combined")(entry) == compile_format(PRESETS["combined"])(entry), (
                key,
                code,
            )


def test_lines_keep_their_order_and_a_batch_its_bound() -> None:
    disk = Disk()
    log = AccessLog(disk, compile_format("common"), short=short_way("common"), holds=True)
    for number in range(3 * BATCH):
        odd = {"REMOTE_USER": "ann"} if number % 5 == 0 else {}
        log.tell({**ENVIRON, **odd}, 200, number, 1, 2, 3)
        assert number + 1 - len(disk.lines) < BATCH
    log.flush()
    assert [int(line.split()[-1]) for line in disk.lines] == list(range(3 * BATCH))
    assert [b" - ann [" in line for line in disk.lines] == [number % 5 == 0 for number in range(3 * BATCH)]
    pattern = rb'192\.0\.2\.7 - \w+|- \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}] "GET [^"]+" 200 \d+\n'
    assert all(re.search(pattern, line) for line in disk.lines)


def test_a_mapping_that_is_no_dict_is_written_by_python() -> None:
    environ = types.MappingProxyType(ENVIRON)
    assert made(True).write(environ, 200, 1, NOW_NS) is None
    disk = Disk()
    log = AccessLog(disk, compile_format("common"), short=short_way("common"), holds=True)
    log.tell(environ, 200, 1, 0)
    log.flush()
    assert len(disk.lines) == 1


def test_code_of_the_application_that_runs_meanwhile_takes_nothing_away() -> None:
    class Key(str):
        """Compared with another of the same hash, it empties the dict that both are for."""

        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            environ.clear()
            return False

    environ: dict[str, Any] = {"REMOTE_ADDR": "".join(["192.0", ".2.7"]), Key("REMOTE_USER"): 1}
    assert made(True).write(environ, 200, 1, NOW_NS) is None
    assert environ == {}


def test_an_error_of_a_comparison_is_not_swallowed() -> None:
    class Key(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        made(True).write({Key("SERVER_PROTOCOL"): 1}, 200, 1, NOW_NS)


@pytest.mark.parametrize("text", ["x" * 49, "caf\u00e9", b"12:00", None])
def test_a_time_that_is_none(text: object) -> None:
    assert access is not None
    with pytest.raises(ValueError, match="no time"):
        access.ApacheLine(True, lambda _now_s: text).write(ENVIRON, 200, 1, NOW_NS)


def test_the_time_is_asked_for_once_a_second() -> None:
    assert access is not None
    asked: list[int] = []
    line = access.ApacheLine(False, lambda now_s: str(asked.append(now_s)))
    for now_ns in (0, 999_999_999, 10**9, 10**9 + 1, 0):
        assert line.write(ENVIRON, 200, 1, now_ns) is not None
    assert asked == [0, 1, 0]
    assert line.write(ENVIRON, 200, 1, -1) is None


def test_wrong_arguments_are_refused() -> None:
    assert access is not None
    line = made(True)
    for call in (
        lambda: line.write(ENVIRON, 200, 1),
        lambda: line.write(ENVIRON, 200, 1, "now"),
        lambda: access.ApacheLine(),
        lambda: access.Batch(line, (), 1, print),
        lambda: access.Batch(None, [], 1, print),
        lambda: access.Batch(line, [], 1, print).tell(ENVIRON, 200, 1),
        lambda: access.Batch(line, [], 1, print).tell(*[1] * 7),
    ):
        with pytest.raises(TypeError):
            call()


def test_nothing_is_kept() -> None:
    assert access is not None
    value = "".join(["/some", "thing"])
    environ = {**ENVIRON, "RAW_URI": value}
    odd = {**environ, "REMOTE_USER": value}
    line = made(True)
    before = sys.getrefcount(value), sys.getrefcount(environ)
    for _ in range(100):
        line.write(environ, 200, 1, NOW_NS)
        line.write(odd, 200, 1, NOW_NS)
    assert (sys.getrefcount(value), sys.getrefcount(environ)) == before

    log = AccessLog(Disk(), compile_format("common"), short=short_way("common"), holds=False)
    batch = access.Batch(line, [log], 9, log)
    log.tell = batch.tell  # a cycle
    del batch, log
    gc.collect()
    assert not any(type(each) is access.Batch for each in gc.get_objects())
