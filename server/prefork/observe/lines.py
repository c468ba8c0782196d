"""A record as lines: logfmt or JSON.

Owns: the fields every line starts with, and how a line that is too long is made to fit. Pure. Runs in: every process. Must not
know: levels that are not wanted, descriptors.

    time=2026-11-21T11:17:12.123Z level=info event=worker_ready role=master pid=1 worker=2 gen=3
    {"time":"2026-11-21T11:17:12.123Z","level":"info","event":"worker_ready","role":"master","pid":1,"worker":2,"gen":3}
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from prefork.observe.logfmt import format_pairs
from prefork.observe.record import TRACEBACK, Level, Record, text_of

MAX_LINE = 4096
"""Bytes of the longest line: PIPE_BUF, up to which a pipe keeps the lines of several processes whole
(pipe(7)).
"""

MAX_LINE_OF_FILE = 64 * 1024
"""A file takes lines of any length whole; this is where they stop being of use. JSON only: tracebacks are in one line."""

_RESERVED = frozenset({"time", "level", "event"})
_VALUE_LIMITS = (3000, 1000, 250, 60)
"""Characters a value may have, tried in this order until the line fits."""

Form = Callable[[Record, int], Iterator[bytes]]
"""The lines of a record, each with its newline and of at most so many bytes."""

_encode = msgspec.json.Encoder().encode


def logfmt_lines(record: Record, _limit: int = MAX_LINE) -> Iterator[bytes]:
    """One line, and one more for each line of the traceback."""
    if not record.event:
        yield from record.traceback.encode("utf-8", "backslashreplace").splitlines(keepends=True)
        return
    if record.event != TRACEBACK:
        yield format_line(record.now_ns, record.level, record.event, record.everything)
    repeated = record.everything if record.event == TRACEBACK else record.context
    for line in record.traceback.splitlines():
        yield format_line(record.now_ns, record.level, TRACEBACK, {"line": line, **repeated})


def json_lines(record: Record, limit: int = MAX_LINE) -> Iterator[bytes]:
    """One object; a traceback is a text in it, of which the end is kept: there the error is named."""
    if not record.event and not record.traceback.strip():
        return
    event = record.event or "wsgi_errors"
    head = {"time": format_time(record.now_ns), "level": record.level, "event": event}
    whole = {
        **head,
        **{_free(key): _value(value) for key, value in record.everything.items()},
    }
    trace = _utf8(record.traceback.rstrip("\n"))
    if trace:
        whole["traceback" if record.event else "text"] = trace
    line = _encode(whole) + b"\n"
    for most in (*(each for each in (limit // 2,) if each > _VALUE_LIMITS[0]), *_VALUE_LIMITS):
        if len(line) <= limit:
            break
        line = _encode({key: _shortened(key, value, most) for key, value in whole.items()}) + b"\n"
    yield line if len(line) <= limit else _encode({**head, "event": event[:60]}) + b"\n"


def format_line(now_ns: int, level: Level, event: str, fields: Mapping[str, object]) -> bytes:
    """One line of logfmt with its newline, at most MAX_LINE bytes: long values are cut (marked `...`) until it fits.

    `now_ns` is the Unix time. Fields that are None are left out. A field called time, level or event gets an
    underscore behind its name.
    """
    pairs = {"time": format_time(now_ns), "level": level, "event": event}
    for key, value in fields.items():
        if value is not None:
            pairs[_free(key)] = text_of(value)
    for limit in _VALUE_LIMITS:
        line = format_pairs({key: _cut(value, limit) for key, value in pairs.items()}).encode() + b"\n"
        if len(line) <= MAX_LINE:
            return line
    return format_pairs({key: _cut(pairs[key], limit) for key in ("time", "level", "event")}).encode() + b"\n"


def format_time(now_ns: int) -> str:
    """Unix time in nanoseconds as RFC 3339 in UTC with milliseconds: `2026-11-21T11:17:12.123Z`."""
    seconds, rest = divmod(now_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1_000_000:03d}Z"


def _free(key: str) -> str:
    return f"{key}_" if key in _RESERVED else key


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _shortened(key: str, value: object, limit: int) -> object:
    if not isinstance(value, str) or len(value) <= limit:
        return value
    return f"...\n{value[-limit:]}" if key == "traceback" else _cut(value, limit)


def _value(value: object) -> object:
    """What JSON has a type for stays what it is."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 63):
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return value
    return _utf8(text_of(value))


def _utf8(text: str) -> str:
    """Without the surrogates that stand for bytes that are no UTF-8 (PEP 383): JSON has none."""
    return text.encode("utf-8", "backslashreplace").decode()
