r"""The access log: one line a request.

Owns: the formats, the escaping, the time as the formats want it. Runs in: worker. Must not know: connections,
settings.

Formats: "common" and "combined" (Apache's, with local time, and 0 rather than "-" for no bytes), "json", and
custom ones: text with `{field}` in it, `{{` and `}}` for plain braces, as in `{addr} "{request}" {status}`.

    addr         client's address                    status       status code
    user         REMOTE_USER                         bytes        bytes of the response body
    time         21/Nov/2026:11:17:12 +0000          duration_us  microseconds, a whole number
    method       GET                                 duration_ms  milliseconds, 3 decimals
    path         target up to the "?", undecoded     duration_s   seconds, 6 decimals
    query        target after the "?", undecoded     host         Host header
    protocol     HTTP/1.1                            request_id   X-Request-ID header
    request      request line                        worker       number of the worker
    referer      Referer header                      gen          its generation
    user_agent   User-Agent header                   pid          its process

What is not there is `-`. In whatever the client sent, `"`, `\` and all but printable ASCII become `\xNN` (as
nginx does), so it can end neither the line nor the quotes around it. Fields that usually stand without quotes
have spaces escaped too: all but `request`, `referer` and `user_agent`, which belong in quotes.
"""

from __future__ import annotations

import re
import string
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from prefork.observe.writer import LineWriter

PRESETS: Mapping[str, str] = {
    "common": '{addr} - {user} [{time}] "{request}" {status} {bytes}',
    "combined": '{addr} - {user} [{time}] "{request}" {status} {bytes} "{referer}" "{user_agent}"',
}
JSON = "json"


class AccessEntry(msgspec.Struct):
    """One answered request, raw. `environ` is the WSGI one; the application may have changed it."""

    environ: Mapping[str, Any]
    status: int
    body_bytes: int
    duration_ns: int
    now_ns: int
    """Unix time at the end of the response."""


class Origin(msgspec.Struct, frozen=True):
    """The process that writes the lines."""

    worker: int = 0
    generation: int = 0
    pid: int = 0


NOBODY = Origin()

Format = Callable[[AccessEntry], bytes]
"""One entry as one line with its newline."""

_Getter = Callable[[AccessEntry], object]


class AccessLog:
    """Writes a line for each request to a descriptor it does not own. Never raises, never waits."""

    __slots__ = ("_clock", "_format", "_writer")

    def __init__(self, fd: int, format_entry: Format, clock: Callable[[], int] = time.time_ns) -> None:
        self._writer = LineWriter(fd)
        self._format = format_entry
        self._clock = clock

    def __call__(self, environ: Mapping[str, Any], status: int, body_bytes: int, duration_ns: int) -> None:
        """The response is out."""
        self._writer.write(self._format(AccessEntry(environ, status, body_bytes, duration_ns, self._clock())))


def access_format_problem(text: str) -> str | None:
    """What is wrong with a format, in one line; None if nothing is."""
    try:
        compile_format(text)
    except ValueError as error:
        return str(error)
    return None


def compile_format(text: str, origin: Origin = NOBODY) -> Format:
    """The function that writes entries in the format `text`. Raises ValueError with one line if it is bad."""
    if text == JSON:
        return _json_format(origin)
    return _text_format(_parse(PRESETS.get(text, text), origin))


def _parse(text: str, origin: Origin) -> list[str | _Getter]:
    """The literals and the getters of a format, in order."""
    if not text.isprintable():
        raise ValueError("the format must not hold control characters")
    getters = _getters(origin)
    parts: list[str | _Getter] = []
    try:
        for literal, name, spec, conversion in string.Formatter().parse(text):
            if literal:
                parts.append(literal)
            if name is None:
                continue
            if spec or conversion or name not in getters:
                raise ValueError(f"there is no field {{{name}}}; there are {', '.join(sorted(getters))}")
            parts.append(getters[name])
    except ValueError as error:
        raise ValueError(f"bad access format {text!r}: {error}") from None
    if not any(callable(part) for part in parts):
        raise ValueError(f"{text!r} is neither common, combined nor json, and has no {{field}} in it")
    return parts


def _text_format(parts: list[str | _Getter]) -> Format:
    template = "".join("%s" if callable(part) else part.replace("%", "%%") for part in parts) + "\n"
    getters = tuple(part for part in parts if callable(part))

    def format_entry(entry: AccessEntry) -> bytes:
        return (template % tuple([get(entry) for get in getters])).encode()

    return format_entry


def _json_format(origin: Origin) -> Format:
    encode = msgspec.json.Encoder().encode
    time_to_second = _once_a_second(lambda now_s: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_s)))

    def format_entry(entry: AccessEntry) -> bytes:
        now_s, rest = divmod(entry.now_ns, _SECOND)
        line: dict[str, object] = {"time": f"{time_to_second(now_s)}.{rest // 1_000_000:03d}Z"}
        get = entry.environ.get
        for name, key in _KEYS.items():
            line[name] = _json_text(get(key))
        line["path"] = _json_text(_path(entry.environ))
        line["query"] = _json_text(_query(entry.environ))
        line["status"] = entry.status
        line["bytes"] = entry.body_bytes
        line["duration_us"] = entry.duration_ns // 1000
        line["worker"] = origin.worker
        line["gen"] = origin.generation
        line["pid"] = origin.pid
        return encode(line) + b"\n"

    return format_entry


# What the client sent -------------------------------------------------------------------------------

_Environ = Mapping[str, Any]


def _path(environ: _Environ) -> str:
    # Not PATH_INFO: dispatching middleware moves its parts to SCRIPT_NAME, and decoding loses what was sent.
    return str(environ.get("RAW_URI") or "").partition("?")[0]


def _query(environ: _Environ) -> str:
    return str(environ.get("RAW_URI") or "").partition("?")[2]


def _request(environ: _Environ) -> str | None:
    get = environ.get
    method = get("REQUEST_METHOD")
    return f"{method} {get('RAW_URI')} {get('SERVER_PROTOCOL')}" if method else None


_KEYS: Mapping[str, str] = {
    "addr": "REMOTE_ADDR",
    "user": "REMOTE_USER",
    "method": "REQUEST_METHOD",
    "protocol": "SERVER_PROTOCOL",
    "host": "HTTP_HOST",
    "referer": "HTTP_REFERER",
    "user_agent": "HTTP_USER_AGENT",
    "request_id": "HTTP_X_REQUEST_ID",
}
_DERIVED: Mapping[str, Callable[[_Environ], str | None]] = {
    "path": _path,
    "query": _query,
    "request": _request,
}
_MAY_HOLD_SPACES = frozenset({"request", "referer", "user_agent"})
_UNSAFE = re.compile(r"[^ !#-\[\]-~]")
_UNSAFE_OR_SPACE = re.compile(r"[^!#-\[\]-~]")


def _getters(origin: Origin) -> dict[str, _Getter]:
    getters: dict[str, _Getter] = {
        "time": _clf_getter(),
        "status": lambda entry: entry.status,
        "bytes": lambda entry: entry.body_bytes,
        "duration_us": lambda entry: entry.duration_ns // 1000,
        "duration_ms": lambda entry: f"{entry.duration_ns / 1e6:.3f}",
        "duration_s": lambda entry: f"{entry.duration_ns / 1e9:.6f}",
        "worker": lambda _: origin.worker,
        "gen": lambda _: origin.generation,
        "pid": lambda _: origin.pid,
    }
    for name, key in _KEYS.items():
        getters[name] = _key_getter(key, _pattern(name))
    for name, derive in _DERIVED.items():
        getters[name] = _derived_getter(derive, _pattern(name))
    return getters


def _pattern(name: str) -> re.Pattern[str]:
    return _UNSAFE if name in _MAY_HOLD_SPACES else _UNSAFE_OR_SPACE


def _key_getter(key: str, unsafe: re.Pattern[str]) -> _Getter:
    find = unsafe.search

    def getter(entry: AccessEntry) -> str:
        value = entry.environ.get(key)
        if not value:
            return "-"
        if type(value) is str and find(value) is None:
            return value
        return unsafe.sub(_escape_char, str(value))

    return getter


def _derived_getter(derive: Callable[[_Environ], str | None], unsafe: re.Pattern[str]) -> _Getter:
    find = unsafe.search

    def getter(entry: AccessEntry) -> str:
        text = derive(entry.environ)
        if not text:
            return "-"
        return text if find(text) is None else unsafe.sub(_escape_char, text)

    return getter


def _escape_char(match: re.Match[str]) -> str:
    code = ord(match.group())
    # WSGI strings are latin-1; a larger code is something the application put into the environ.
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_text(value: object) -> str | None:
    r"""None for what is not there; what was sent as UTF-8 as itself, other bytes as `\xNN`."""
    if not value:
        return None
    text = value if type(value) is str else str(value)
    if text.isascii():
        return text
    return text.encode("latin-1", "backslashreplace").decode("utf-8", "backslashreplace")


# The time -------------------------------------------------------------------------------------------

_SECOND = 1_000_000_000
# Not strftime's %b: it follows the locale, which the application may set.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def clf_time(now_s: int) -> str:
    """Unix time as Apache writes it: `21/Nov/2026:11:17:12 +0000`, local time."""
    t = time.localtime(now_s)
    sign = "-" if t.tm_gmtoff < 0 else "+"
    hours, minutes = divmod(abs(t.tm_gmtoff) // 60, 60)
    return (
        f"{t.tm_mday:02d}/{_MONTHS[t.tm_mon - 1]}/{t.tm_year}:{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} "
        f"{sign}{hours:02d}{minutes:02d}"
    )


def _clf_getter() -> _Getter:
    text_of = _once_a_second(clf_time)
    return lambda entry: text_of(entry.now_ns // _SECOND)


def _once_a_second(render: Callable[[int], str]) -> Callable[[int], str]:
    """`render`, with a memory for the last second it was asked for."""
    last: tuple[int, str] = (-1, "")

    def remembered(now_s: int) -> str:
        nonlocal last
        second, text = last
        if now_s != second:
            text = render(now_s)
            # One assignment: another thread sees the old pair or the new one.
            last = (now_s, text)
        return text

    return remembered
