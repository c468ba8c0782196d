"""Access lines: the formats, and that nothing a client sends can forge one."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.observe.access import AccessLog, access_filter
from prefork.observe.access_entry import AccessEntry, Origin
from prefork.observe.access_format import (
    access_format_problem,
    compile_format,
    needs_request_id,
)
from prefork.observe.clock import clf_time
from prefork.observe.writer import LineWriter
from support.child import child
from support.deadline import DEADLINE_S, SLOWNESS

NOW_NS = 1_795_259_832_123_456_789
ENVIRON = {
    "REMOTE_ADDR": "192.0.2.7",
    "REQUEST_METHOD": "GET",
    "RAW_URI": "/caf%C3%A9?a=1",
    "PATH_INFO": "/moved/by/middleware",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "example.org",
    "HTTP_REFERER": "http://example.org/",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11)",
}
COMBINED = re.compile(
    r'(?P<addr>[^ "]+) - (?P<user>[^ "]+) \[(?P<time>[^]]+)\] "(?P<request>[^"]*)" (?P<status>\d+) (?P<bytes>\d+) '
    r'"(?P<referer>[^"]*)" "(?P<agent>[^"]*)"\n'
)


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with zone("UTC0"):
        yield


@contextmanager
def zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        restore_zone(before)


def restore_zone(before: str | None) -> None:
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def entry(**environ: Any) -> AccessEntry:
    return AccessEntry({**ENVIRON, **environ}, 200, 1234, 5_123_456, NOW_NS, 2_500_000, 77)


def line(text: str, **environ: Any) -> str:
    return compile_format(text, Origin(worker=2, generation=3, pid=99))(entry(**environ)).decode()


def unescape(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)


def test_common() -> None:
    expected = '192.0.2.7 - - [21/Nov/2026:11:17:12 +0000] "GET /caf%C3%A9?a=1 HTTP/1.1" 200 1234\n'
    assert line("common") == expected


def test_combined() -> None:
    assert line("combined", REMOTE_USER="ann") == (
        '192.0.2.7 - ann [21/Nov/2026:11:17:12 +0000] "GET /caf%C3%A9?a=1 HTTP/1.1" 200 1234 '
        '"http://example.org/" "Mozilla/5.0 (X11)"\n'
    )


def test_json() -> None:
    odd: dict[str, Any] = {"prefork.connection": (3, 4), "prefork.request_id": "r-1"}
    text = line("json", REMOTE_USER="ann", HTTP_USER_AGENT='"\\\n\xc3\xa9\xff', **odd)
    assert text.count("\n") == 1
    assert json.loads(text) == {
        "time": "2026-11-21T11:17:12.123Z",
        "addr": "192.0.2.7",
        "user": "ann",
        "method": "GET",
        "path": "/caf%C3%A9",
        "query": "a=1",
        "protocol": "HTTP/1.1",
        "host": "example.org",
        "referer": "http://example.org/",
        "user_agent": '"\\\n\u00e9\\xff',
        "request_id": "r-1",
        "tls": None,
        "status": 200,
        "bytes": 1234,
        "bytes_in": 77,
        "duration_us": 5123,
        "queue_us": 2500,
        "connection": 3,
        "connection_request": 4,
        "worker": 2,
        "gen": 3,
        "pid": 99,
    }


def test_every_field_of_a_custom_format() -> None:
    text = (
        "{addr}|{user}|{method}|{path}|{query}|{protocol}|{request}|{status}|{bytes}|{referer}|{user_agent}|"
        "{duration_us}|{duration_ms}|{duration_s}|{worker}|{gen}|{pid}|{host}|{request_id}|{time}|{{100%}}|"
        "{bytes_in}|{queue_us}|{queue_ms}|{queue_s}|{connection}|{connection_request}|{tls}|{time_iso}"
    )
    odd: dict[str, Any] = {
        "prefork.connection": (3, 4),
        "prefork.request_id": "r-1",
        "SSL_PROTOCOL": "TLSv1.3",
    }
    assert line(text, **odd) == (
        "192.0.2.7|-|GET|/caf%C3%A9|a=1|HTTP/1.1|GET /caf%C3%A9?a=1 HTTP/1.1|200|1234|http://example.org/|"
        "Mozilla/5.0 (X11)|5123|5.123|0.005123|2|3|99|example.org|r-1|21/Nov/2026:11:17:12 +0000|{100%}|"
        "77|2500|2.500|0.002500|3|4|TLSv1.3|2026-11-21T11:17:12.123Z\n"
    )


def test_a_request_that_could_not_be_read_has_dashes() -> None:
    empty = AccessEntry({"REMOTE_ADDR": ""}, 400, 0, 0, NOW_NS)
    assert compile_format("combined")(empty) == b'- - - [21/Nov/2026:11:17:12 +0000] "-" 400 0 "-" "-"\n'
    assert compile_format("{path} {query} {host}")(empty) == b"- - -\n"
    assert json.loads(compile_format("json")(empty))["path"] is None


def test_what_the_application_did_to_the_environ_breaks_nothing() -> None:
    odd = {"REMOTE_USER": 42, "HTTP_REFERER": None, "HTTP_USER_AGENT": ["\u20ac", "\n"], "RAW_URI": None}
    assert COMBINED.fullmatch(line("combined", **odd))
    assert line("{user} {referer} {path}", **odd) == "42 - -\n"
    assert line('"{user_agent}"', HTTP_USER_AGENT="\u20ac\U0001f600\ud800") == '"\\u20ac\\U0001f600\\ud800"\n'
    assert json.loads(line("json", **odd))["user"] == "42"
    json.loads(line("json", HTTP_USER_AGENT="\u20ac\ud800\udcff"))


def test_quotes_backslashes_and_line_ends_cannot_break_out() -> None:
    attack = 'x" 200 5 "-" "-\\"\r\n6.6.6.6 - - \x1b[2J\x7f\xa0'
    text = line("combined", HTTP_USER_AGENT=attack, HTTP_REFERER='\\"', REMOTE_USER='a b"\\')
    match = COMBINED.fullmatch(text)
    assert match
    assert unescape(match["agent"]) == attack
    assert match["referer"] == r"\x5c\x22"
    assert match["user"] == r"a\x20b\x22\x5c"


client_text = st.text(alphabet=st.characters(max_codepoint=255)) | st.text(alphabet='"\\ \r\n\tx20-\x00\xff')


@settings(deadline=None)  # a slow machine is no failure
@given(st.fixed_dictionaries(dict.fromkeys([*ENVIRON, "REMOTE_USER"], client_text)))
def test_any_client_gets_one_line_with_its_fields_in_place(environ: dict[str, str]) -> None:
    match = COMBINED.fullmatch(line("combined", **environ))
    assert match
    assert unescape(match["agent"]) == (environ["HTTP_USER_AGENT"] or "-")
    assert json.loads(line("json", **environ))["status"] == 200
    assert line("{addr} {user} {method} {path} {query} {protocol} {host}", **environ).count(" ") == 6


@pytest.mark.parametrize(
    ("zone_name", "expected"),
    [
        ("UTC0", "21/Nov/2026:11:17:12 +0000"),
        ("XXX-5:30", "21/Nov/2026:16:47:12 +0530"),
        ("XXX3:30", "21/Nov/2026:07:47:12 -0330"),
        ("XXX0:15", "21/Nov/2026:11:02:12 -0015"),
    ],
)
def test_local_time_with_its_offset(zone_name: str, expected: str) -> None:
    with zone(zone_name):
        assert clf_time(NOW_NS // 1_000_000_000) == expected


def test_the_time_moves_with_the_second() -> None:
    write = compile_format("{time}")
    times = [
        write(AccessEntry(ENVIRON, 200, 0, 0, NOW_NS + offset))
        for offset in (0, 1, 10**9, 2 * 10**9, -(10**9), 0)
    ]
    assert [re.search(rb":(\d\d) ", text)[1] for text in times] == [b"12", b"12", b"13", b"14", b"11", b"12"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{nonsense}", "there is no field {nonsense}; there are addr, bytes,"),
        ("{}", "there is no field {}"),
        ("{0}", "there is no field {0}"),
        ("{status.real}", "there is no field {status.real}"),
        ("{status!r}", "no field"),
        ("{status:>5}", "no field"),
        ("{status", "bad access format"),
        ("status}", "bad access format"),
        ("combind", "has no {field} in it"),
        ("", "has no {field} in it"),
        ("{addr}\n{status}", "control characters"),
    ],
)
def test_a_bad_format_is_explained(text: str, problem: str) -> None:
    found = access_format_problem(text)
    assert found is not None
    assert problem in found
    assert "\n" not in found
    with pytest.raises(ValueError, match=re.escape(problem)):
        compile_format(text)


@pytest.mark.parametrize("text", ["common", "combined", "json", "{addr}", "{{{status}}}"])
def test_a_good_format_has_no_problem(text: str) -> None:
    assert access_format_problem(text) is None


def test_the_log_stamps_and_writes(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    form = compile_format("{time} {status} {bytes} {duration_ms}")
    log = AccessLog(LineWriter(fd), form, clock_ns=lambda: NOW_NS)
    log(ENVIRON, 204, 7, 1_500_000)
    os.close(fd)
    assert path.read_text() == "21/Nov/2026:11:17:12 +0000 204 7 1.500\n"


class FullDisk:
    """A writer whose disk is full for a while."""

    def __init__(self) -> None:
        self.lost = 0
        self.full = False
        self.lines: list[bytes] = []

    def write_all(self, lines: list[bytes]) -> bool:
        if self.full:
            self.lost += len(lines)
            return False
        self.lines += lines
        self.lost = 0
        return True


def test_lines_are_held_to_the_end_of_the_turn() -> None:
    disk = FullDisk()
    log = AccessLog(disk, compile_format("{status}"), holds=True)
    log(ENVIRON, 200, 0, 0)
    log(ENVIRON, 404, 0, 0)
    assert disk.lines == []
    log.flush()
    log.flush()
    assert disk.lines == [b"200\n", b"404\n"]
    for _ in range(200):
        log(ENVIRON, 200, 0, 0)
    assert len(disk.lines) >= 130, "a turn without end must not hold lines without end"


def test_lost_lines_are_told_when_the_disk_is_back() -> None:
    disk, told = FullDisk(), list[int]()
    log = AccessLog(disk, compile_format("{status}"), on_lost=told.append)
    disk.full = True
    log(ENVIRON, 200, 0, 0)
    log(ENVIRON, 200, 0, 0)
    assert told == []
    disk.full = False
    log(ENVIRON, 200, 0, 0)
    log(ENVIRON, 200, 0, 0)
    assert told == [2]
    assert len(disk.lines) == 2


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("all",), {200, 304, 404, 500, 1200}),
        (("5xx",), {500}),
        (("4xx", "5xx"), {404, 500}),
        (("slow",), {1200}),
        (("slow", "4xx"), {404, 1200}),
        (("all", "4xx"), {200, 304, 404, 500, 1200}),
    ],
)
def test_filters(words: tuple[str, ...], wanted: set[int]) -> None:
    disk = FullDisk()
    log = AccessLog(disk, compile_format("{status}"), access_filter(words, 1_000_000))
    for status in (200, 304, 404, 500):
        log(ENVIRON, status, 0, 999_999)
    log(ENVIRON, 200, 0, 1_000_000, 0, 0)
    slow = len(disk.lines) - len([code for code in wanted if code < 1000])
    assert {int(line) for line in disk.lines} - {200} == wanted - {200, 1200}
    assert (slow == 1) is (1200 in wanted)


def test_which_formats_need_a_name_for_each_request() -> None:
    assert needs_request_id("json")
    assert needs_request_id("{addr} {request_id}")
    assert not any(map(needs_request_id, ("common", "combined", "{addr} {{request_id}}")))


def test_a_line_too_long_for_a_pipe_stays_one_line() -> None:
    read_fd, write_fd = os.pipe()
    AccessLog(LineWriter(write_fd), compile_format("combined"))(
        ENVIRON | {"HTTP_USER_AGENT": "x" * 20_000}, 200, 0, 0
    )
    os.close(write_fd)
    with open(read_fd, "rb") as pipe:
        text = pipe.read()
    assert len(text) == 4096
    assert text.endswith(b"xxx...\n")
    assert text.count(b"\n") == 1


WRITER = """
    import os, sys
    from prefork.observe.access import AccessLog
    from prefork.observe.access_entry import Origin
    from prefork.observe.access_format import compile_format
    from prefork.observe.writer import LineWriter
    fd, worker = int(sys.argv[1]), int(sys.argv[2])
    form = compile_format('{worker} {bytes} "{user_agent}"', Origin(worker=worker))
    log = AccessLog(LineWriter(fd), form, holds=True)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(5000):
        log({"HTTP_USER_AGENT": "x" * (number * 37 % 1000)}, 200, number, 0)
        if number % 7 == 0:
            log.flush()
    log.flush()
"""


@pytest.mark.parametrize("where", ["file", "pipe"])
def test_lines_of_four_processes_stay_whole(tmp_path: Path, where: str) -> None:
    path = tmp_path / "access.log"
    if where == "pipe":
        os.mkfifo(path)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    writers = [child(WRITER, fd, worker, pass_fds=[fd]) for worker in range(4)]
    with ExitStack() as stack:
        processes = [stack.enter_context(writer) for writer in writers]
        os.close(fd)
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        if where == "pipe":
            os.set_blocking(reading, True)
            with open(reading, "rb") as pipe:
                text = pipe.read().decode()
        for process in processes:
            assert process.wait(DEADLINE_S * SLOWNESS) == 0
    if where == "file":
        text = path.read_text()
    numbers: dict[str, list[int]] = {}
    for written in text.splitlines():
        worker, number, agent = written.split(" ")
        assert agent == '"' + ("x" * (int(number) * 37 % 1000) or "-") + '"'
        numbers.setdefault(worker, []).append(int(number))
    everything = {str(worker): list(range(5000)) for worker in range(4)}
    if where == "file":
        assert numbers == everything
    else:
        # A pipe may lose lines when its reader gets no processor for a second, but never mixes them.
        assert all(found == sorted(set(found)) for found in numbers.values())
        assert numbers.keys() == everything.keys()


def test_a_combined_line_is_cheap() -> None:
    """Microseconds matter, but so does a slow machine: the bound is what no accident of design stays under."""
    write = compile_format("combined")
    made = entry(HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0.0.0")
    best_ns = min(_cost_ns(lambda: write(made)) for _ in range(5))
    assert best_ns < 30_000 * SLOWNESS


def _cost_ns(call: Callable[[], object]) -> float:
    rounds = 2000
    started = time.thread_time_ns()
    for _ in range(rounds):
        call()
    return (time.thread_time_ns() - started) / rounds
