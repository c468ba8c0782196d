"""Where records go: JSON lines, the journal's own protocol, and what happens when the other side is full or gone."""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefork.observe import journald
from prefork.observe.journald import JournalSocket, field_name, is_journal, journal_packet
from prefork.observe.lines import MAX_LINE, json_lines
from prefork.observe.log import Log
from prefork.observe.message_ids import MESSAGE_IDS
from prefork.observe.record import Level, Record
from prefork.observe.sinks import JournalSink, LineSink, open_sink
from support.logs import fields_of

NOW_NS = 1_795_259_832_123_456_789
TRACE = "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'x'\n"


class Journal:
    """A journal's socket."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "journal")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(0)

        self.sender = JournalSocket(self.path)

    def log(self, level: Level = "info", **context: object) -> Log:
        return Log(JournalSink(self.sender, LineSink(2)), level, **context)

    def close(self) -> None:
        self.sock.close()
        self.sender.close()

    def receive(self) -> dict[str, str]:
        data, ancillary, _flags, _sender = self.sock.recvmsg(1 << 20, 1000)
        for _level, kind, packed in ancillary:
            assert kind == socket.SCM_RIGHTS
            (fd,) = array.array("i", packed)
            seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
            assert seals & 15 == 15, "the journal takes only what nobody can change any more"
            data = os.pread(fd, 1 << 24, 0)
            os.close(fd)
        return decoded(data)


def decoded(data: bytes) -> dict[str, str]:
    """The fields of a packet, read as the journal reads them."""
    fields = {}
    while data:
        name, _, data = data.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
        else:
            key, (size,) = name, struct.unpack("<Q", data[:8])
            value, data = data[8 : 8 + size], data[9 + size :]
        assert key.decode() not in fields
        fields[key.decode()] = value.decode()
    return fields


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path)
    yield made
    made.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def written(fd: int) -> list[str]:
    os.set_blocking(fd, False)
    try:
        return os.read(fd, 1 << 20).decode().splitlines()
    except BlockingIOError:
        return []


# JSON ---------------------------------------------------------------------------------------------------------------


def test_an_object_a_line() -> None:
    fields = {"worker": 2, "served_s": 1.5, "ok": True, "none": None, "error": "caf\xe9 \ud800", "time": 5}
    (line,) = json_lines(Record(NOW_NS, "error", "worker_exited", fields, TRACE))
    assert json.loads(line) == {
        "time": "2026-11-21T11:17:12.123Z",
        "level": "error",
        "event": "worker_exited",
        "worker": 2,
        "served_s": 1.5,
        "ok": True,
        "error": "caf\xe9 \\ud800",
        "time_": 5,
        "traceback": TRACE.rstrip("\n"),
    }


@settings(deadline=None, max_examples=40)
@given(
    st.text(min_size=1, max_size=200),
    st.dictionaries(
        st.text(max_size=20),
        st.none()
        | st.text()
        | st.binary()
        | st.integers()
        | st.floats()
        | st.text("\x00\U0010ffff", min_size=500),
        max_size=30,
    ),
    st.text() | st.text("x\n\ud800", min_size=3000, max_size=9000),
)
def test_json_is_one_line_that_fits_a_pipe(event: str, fields: dict[str, object], trace: str) -> None:
    (line,) = json_lines(Record(NOW_NS, "error", event, fields, trace))
    assert len(line) <= MAX_LINE
    assert line.count(b"\n") == 1
    assert json.loads(line)["level"] == "error"


def test_of_a_long_traceback_the_end_is_kept() -> None:
    (line,) = json_lines(
        Record(NOW_NS, "error", "x", {"request": "GET /"}, "first\n" + "y\n" * 50_000 + "last\n")
    )
    entry = json.loads(line)
    assert entry["request"] == "GET /"
    assert entry["traceback"].startswith("...\n")
    assert entry["traceback"].endswith("y\nlast")


def test_a_file_takes_the_whole_traceback(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = Log(LineSink(file.fileno(), json_lines), "info", role="worker")
        log.error("request_failed", traceback="line\n" * 3000, error="x")
        log.words("words of the application\n")
        log.words("\n")
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert first["traceback"].count("line") == 3000
    assert (second["event"], second["text"], second["role"]) == (
        "wsgi_errors",
        "words of the application",
        "worker",
    )


# The journal --------------------------------------------------------------------------------------------------------


def test_fields_of_the_journal(journal: Journal) -> None:
    log = journal.log(role="master", pid=7)
    log.error("worker_exited", worker=2, gen=3, how="signal 9", none=None, traceback=TRACE)
    fields = journal.receive()
    message = fields.pop("MESSAGE")
    assert message == f'worker_exited pid=7 worker=2 gen=3 how="signal 9"\n{TRACE.rstrip()}'
    assert fields == {
        "PRIORITY": "3",
        "MESSAGE_ID": MESSAGE_IDS["worker_exited"],
        "PREFORK_EVENT": "worker_exited",
        "PREFORK_TRACEBACK": TRACE.rstrip(),
        "PREFORK_ROLE": "master",
        "PREFORK_PID": "7",
        "PREFORK_WORKER": "2",
        "PREFORK_GENERATION": "3",
        "PREFORK_HOW": "signal 9",
    }


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3")]
)
def test_priorities(journal: Journal, level: str, priority: str) -> None:
    log = journal.log("debug")
    getattr(log, level)("x")
    assert journal.receive()["PRIORITY"] == priority


def test_words_of_the_application_are_one_record(journal: Journal) -> None:
    log = journal.log("error", worker=1)
    log.words("first\nsecond\n")
    log.words("\n")
    log.words("third")
    assert journal.receive() == {"PRIORITY": "4", "MESSAGE": "first\nsecond", "PREFORK_WORKER": "1"}
    assert journal.receive()["MESSAGE"] == "third"


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.text(min_size=1), st.text() | st.integers(), max_size=8), st.text())
def test_whatever_the_values_hold_the_packet_can_be_read(fields: dict[str, object], trace: str) -> None:
    names = [field_name(key) for key in fields]
    record = Record(NOW_NS, "info", "x", fields, trace)
    if len(set(names)) == len(names) and not {"PREFORK_EVENT", "PREFORK_TRACEBACK"} & set(names):
        assert decoded(journal_packet(record))["PREFORK_EVENT"] == "x"
    assert all(name.replace("_", "A").isalnum() and name.isascii() and len(name) <= 64 for name in names)


def test_a_large_record_goes_through_a_memfd(journal: Journal, pipe: tuple[int, int]) -> None:
    log = Log(JournalSink(journal.sender, LineSink(pipe[1])), "info")
    trace = "x" * 400_000 + "\nend"
    log.error("request_failed", traceback=trace)
    assert journal.receive()["PREFORK_TRACEBACK"] == trace
    assert written(pipe[0]) == []


def test_without_a_journal_plain_lines_with_their_priority(tmp_path: Path, pipe: tuple[int, int]) -> None:
    plain = LineSink(pipe[1], for_journal=True)
    sender = JournalSocket(str(tmp_path / "gone"))
    log = Log(JournalSink(sender, plain), "info")
    log.error("boot_failed", traceback="one\ntwo")
    lines = written(pipe[0])
    assert [line[:3] for line in lines] == ["<3>"] * 3
    assert [fields_of(line).get("event") for line in lines] == ["boot_failed", "traceback", "traceback"]
    restarted = Journal(tmp_path)
    os.rename(restarted.path, tmp_path / "gone")  # noqa: PTH104
    log.info("ready")
    assert restarted.receive()["PREFORK_EVENT"] == "ready"
    restarted.close()
    sender.close()


def test_a_journal_that_does_not_read_costs_one_wait(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journald, "PATIENCE_S", 0.01)
    sender = JournalSocket(journal.path)
    sink = JournalSink(sender, LineSink(2))
    log = Log(sink, "info")
    for number in range(3000):
        log.info("x", number=number)
        if sink.lost >= 5:
            break
    assert sink.lost == 5, "net.unix.max_dgram_qlen is not that large"
    while True:
        try:
            journal.receive()
        except BlockingIOError:
            break
    log.info("after")
    assert journal.receive()["PREFORK_LOST_LINES"] == "5"
    log.info("next")
    assert "PREFORK_LOST_LINES" not in journal.receive()
    sender.close()


def test_the_journal_is_known_by_its_device_and_inode(pipe: tuple[int, int]) -> None:
    found = os.fstat(pipe[1])
    right = f"{found.st_dev}:{found.st_ino}"
    assert is_journal(pipe[1], {"JOURNAL_STREAM": right})
    for wrong in ("", "1:2", f"{right}0", f"{found.st_dev}", "a:b", f"-{right}"):
        assert not is_journal(pipe[1], {"JOURNAL_STREAM": wrong})
    assert not is_journal(1 << 30, {"JOURNAL_STREAM": right})
    assert not is_journal(pipe[1], {})
    sink = open_sink(pipe[1], "auto", {"JOURNAL_STREAM": right})
    assert isinstance(sink, JournalSink)
    sink.close()
    for name in ("logfmt", "json"):
        assert isinstance(open_sink(pipe[1], name, {"JOURNAL_STREAM": right}), LineSink)
    assert isinstance(open_sink(pipe[1], "auto", {}), LineSink)


def test_message_ids_are_different_and_of_the_right_form() -> None:
    assert len(set(MESSAGE_IDS.values())) == len(MESSAGE_IDS)
    assert all(len(value) == 32 and int(value, 16) for value in MESSAGE_IDS.values())
