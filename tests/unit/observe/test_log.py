"""Log lines: their form, the levels, and that nothing that happens to the descriptor reaches the caller."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.errors import ConfigError
from prefork.observe import writer
from prefork.observe.files import open_log
from prefork.observe.lines import MAX_LINE, format_line, format_time
from prefork.observe.log import Log
from prefork.observe.record import Level
from support.child import child
from support.deadline import DEADLINE_S, SLOWNESS
from support.logs import fields_of

NOT_OPEN = 1 << 30
"""No process has a descriptor of this number."""
NOW_NS = 1_795_259_832_123_456_789


class Pipe:
    """A pipe and what came out of it."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)

    def lines(self) -> list[str]:
        text = b""
        while select.select([self.read_fd], [], [], 0)[0]:
            data = os.read(self.read_fd, 1 << 20)
            if not data:
                break
            text += data
        return text.decode().splitlines()

    def fill(self) -> None:
        os.set_blocking(self.write_fd, False)
        for size in (4096, 1):
            try:
                while True:
                    os.write(self.write_fd, b"\n" * size)
            except BlockingIOError:
                pass
        os.set_blocking(self.write_fd, True)

    def close(self) -> None:
        for fd in (self.read_fd, self.write_fd):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def test_a_line() -> None:
    fields = {
        "role": "master",
        "pid": 1,
        "worker": 2,
        "gen": 3,
        "error": "no such file",
        "ok": True,
        "none": None,
    }
    assert format_line(NOW_NS, "info", "worker_ready", fields) == (
        b"time=2026-11-21T11:17:12.123Z level=info event=worker_ready role=master pid=1 worker=2 gen=3 "
        b'error="no such file" ok=true\n'
    )


def test_the_milliseconds_never_round_up_to_a_thousand() -> None:
    assert format_time(999_999_999) == "1970-01-01T00:00:00.999Z"
    assert format_time(1_000_000_000) == "1970-01-01T00:00:01.000Z"


def test_own_fields_cannot_be_replaced() -> None:
    line = format_line(NOW_NS, "info", "real", {"event": "fake", "level": "error", "time": 5}).decode()
    assert fields_of(line.rstrip()) == {
        "time": "2026-11-21T11:17:12.123Z",
        "level": "info",
        "event": "real",
        "event_": "fake",
        "level_": "error",
        "time_": "5",
    }


@settings(deadline=None)  # a slow machine is no failure
@given(
    st.text(min_size=1),
    st.dictionaries(
        st.from_regex(r"[a-z]{1,10}", fullmatch=True),
        st.text()
        | st.binary()
        | st.integers()
        | st.text(alphabet="\x00\U0010ffff", min_size=500, max_size=5000),
        max_size=30,
    ),
)
def test_a_line_is_one_line_and_fits_a_pipe(event: str, fields: dict[str, object]) -> None:
    line = format_line(NOW_NS, "error", event, fields)
    assert len(line) <= MAX_LINE
    assert line.endswith(b"\n")
    assert line.decode()[:-1].isprintable()


def test_a_long_value_is_cut_and_the_others_stay_whole() -> None:
    line = format_line(NOW_NS, "error", "x", {"a": "one two", "b": "y" * 100_000, "c": "end"}).decode()
    fields = fields_of(line.rstrip())
    assert fields["a"] == "one two"
    assert fields["c"] == "end"
    assert fields["b"].startswith("yyyy")
    assert fields["b"].endswith("y...")
    assert len(fields["b"]) > 2000


def test_more_fields_than_a_line_can_hold_leave_the_event() -> None:
    line = format_line(NOW_NS, "info", "many", {f"key{n}": "v" * 50 for n in range(1000)})
    assert fields_of(line.decode().rstrip()) == {
        "time": format_time(NOW_NS),
        "level": "info",
        "event": "many",
    }


def test_a_value_whose_text_cannot_be_had() -> None:
    class Rude:
        def __str__(self) -> str:
            raise KeyError("no")

    assert b'value="<Rude: its str() raised KeyError>"' in format_line(NOW_NS, "info", "x", {"value": Rude()})


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_levels(pipe: Pipe, level: Level, written: list[str]) -> None:
    log = Log(pipe.write_fd, level)
    for method in (log.debug, log.info, log.warning, log.error):
        method("x")
    assert [fields_of(line)["level"] for line in pipe.lines()] == written


def test_context_is_in_every_line_and_a_bound_log_adds_to_it(pipe: Pipe) -> None:
    log = Log(pipe.write_fd, "info", role="master", pid=1)
    bound = log.bind(worker=2, pid=5)
    bound.info("a", path="/x")
    log.info("b")
    bound.debug("never")
    assert bound.fd == log.fd == pipe.write_fd
    assert bound.level == "info"
    first, second = [fields_of(line) for line in pipe.lines()]
    assert list(first)[2:] == ["event", "role", "pid", "worker", "path"]
    assert first["pid"] == "5"
    assert list(second)[2:] == ["event", "role", "pid"]
    assert second["pid"] == "1"


def test_the_time_is_now(pipe: Pipe) -> None:
    before = format_time(time.time_ns())
    Log(pipe.write_fd, "info").info("x")
    written = fields_of(pipe.lines()[0])["time"]
    assert before <= written <= format_time(time.time_ns())


def test_a_traceback_is_a_line_for_each_line(pipe: Pipe) -> None:
    text = "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'x'\n"
    Log(pipe.write_fd, "error", gen=3).traceback(text, request="GET /")
    fields = [fields_of(line) for line in pipe.lines()]
    assert [entry["line"] for entry in fields] == text.splitlines()
    assert {(entry["event"], entry["level"], entry["gen"], entry["request"]) for entry in fields} == {
        ("traceback", "error", "3", "GET /")
    }


def test_one_write_a_line(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(pipe.write_fd, "info")
    writes: list[bytes] = []

    def record(fd: int, data: bytes) -> int:
        assert fd == pipe.write_fd
        writes.append(data)
        return len(data)

    monkeypatch.setattr(os, "write", record)
    log.info("a", text="x" * 3000)
    log.traceback("one\ntwo")
    monkeypatch.undo()
    assert [data.count(b"\n") for data in writes] == [1, 1, 1]
    assert all(data.endswith(b"\n") for data in writes)


def test_a_full_disk_is_not_the_callers_problem() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        Log(fd, "info").info("x")
    finally:
        os.close(fd)


def test_a_closed_descriptor_and_a_broken_pipe_are_not_either(pipe: Pipe) -> None:
    os.close(pipe.read_fd)
    pipe.read_fd = -1
    for fd in (pipe.write_fd, -1, NOT_OPEN):
        Log(fd, "info").info("x")


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_does_not_read_costs_one_wait(pipe: Pipe, blocking: bool) -> None:
    """Also when stderr is a blocking pipe: its flag is shared with others and not ours to change."""
    pipe.fill()
    os.set_blocking(pipe.write_fd, blocking)
    log = Log(pipe.write_fd, "info")
    started = time.monotonic()
    for _ in range(200):
        log.info("lost")
    # Without the memory that nobody reads it would be 200 waits of a second.
    assert time.monotonic() - started < 20 * SLOWNESS
    assert os.get_blocking(pipe.write_fd) is blocking
    pipe.lines()
    log.info("after")
    log.info("next")
    after, following = [fields_of(line) for line in pipe.lines()]
    assert after["event"] == "after"
    assert after["lost_lines"] == "200"
    assert "lost_lines" not in following


def test_a_slow_reader_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow this machine is: that lines wait is tested, not how long.
    monkeypatch.setattr(writer, "PATIENCE_S", DEADLINE_S * SLOWNESS)
    script = """
        import sys
        print(sum("event=x" in line for line in sys.stdin))
    """
    with child(script) as process:
        assert process.stdin is not None
        log = Log(process.stdin.fileno(), "info")
        fcntl.fcntl(process.stdin.fileno(), 1031, 4096)  # F_SETPIPE_SZ: one page
        for number in range(300):
            log.info("x", number=number)
        output, _ = process.communicate(timeout=DEADLINE_S * SLOWNESS)
    assert output == "300\n"


def test_a_log_file_is_appended_to_and_private(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text("before\n")
    fd = open_log(str(path))
    try:
        assert not os.get_inheritable(fd)
        path_of_new = tmp_path / "new.log"
        umask = os.umask(0)
        try:
            new = open_log(str(path_of_new))
        finally:
            os.umask(umask)
        os.close(new)
        assert stat.S_IMODE(path_of_new.stat().st_mode) == 0o640
        Log(fd, "info").info("x")
        with path.open("a") as other:
            other.write("of another process\n")
        Log(fd, "info").info("y")
    finally:
        os.close(fd)
    first, x, other_line, y = path.read_text().splitlines()
    assert (first, other_line) == ("before", "of another process")
    assert "event=x" in x
    assert "event=y" in y


def test_a_log_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    cases = {
        str(tmp_path / "missing" / "x.log"): "its directory does not exist",
        str(tmp_path): "it is a directory",
        str(tmp_path / "fifo"): "no such device or address",
        str(tmp_path / "x\0y"): "null",
    }
    for path, reason in cases.items():
        with pytest.raises(ConfigError, match=reason) as caught:
            open_log(path)
        assert repr(path) in str(caught.value)
        assert len(caught.value.problems) == 1


def test_a_disk_that_fills_up_tears_no_line_and_every_loss_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    room = 25
    whole = os.write

    def write(fd: int, data: bytes) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = whole(fd, data[:room])
        room -= written
        return written

    monkeypatch.setattr(os, "write", write)
    with path.open("ab") as file:
        lines = writer.LineWriter(file.fileno())
        assert not lines.write_all([b"0123456789\n"] * 3)
        assert lines.lost == 1
        for _ in range(3):
            assert not lines.write(b"lost\n")
        assert lines.lost == 4
        room = 3
        assert not lines.write_all([b"lost\n", b"lost\n"])
        assert lines.lost == 6
        room = 1000
        assert lines.write_all([b"a\n", b"b\n"])
        assert lines.lost == 0
    assert path.read_text().splitlines() == ["0123456789", "0123456789", "012", "lo", "a", "b"]
