r"""One answered request as one line.

Owns: the formats and the escaping. Pure. Runs in: worker. Must not know: where lines go.

Formats: "common" and "combined" (Apache's, with local time, and 0 rather than "-" for no bytes), "json", and
"dev" (see `access_terminal`); and
custom ones: text with `{field}` in it, `{{` and `}}` for plain braces, as in `{addr} "{request}" {status}`.

    addr         client's address                    status       status code
    user         REMOTE_USER                         bytes        bytes of the response body
    time         21/Nov/2026:11:17:12 +0000          bytes_in     bytes of the request body
    time_iso     2026-11-21T11:17:12.123Z            duration_us  service time: microseconds, a whole number
    method       GET                                 duration_ms  milliseconds, 3 decimals
    path         target up to the "?", undecoded     duration_s   seconds, 6 decimals
    query        target after the "?", undecoded     queue_us     time it waited for its turn; also queue_ms, queue_s
    protocol     HTTP/1.1                            request_id   see `worker.requestid`
    request      request line                        connection   number of the connection in its worker
    host         Host header                         connection_request   how many requests it has had, this one included
    referer      Referer header                      tls          TLSv1.3
    user_agent   User-Agent header                   worker, gen, pid     worker, its generation, its process

What is not there is `-`. In whatever the client sent, `"`, `\` and all but printable ASCII become `\xNN` (as
nginx does), so it can end neither the line nor the quotes around it. Fields that usually stand without quotes
have spaces escaped too: all but `request`, `referer` and `user_agent`, which belong in quotes.

The two Apache formats have a short way for requests in which nothing has to be escaped, which is nearly all of them.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from prefork.observe.access_entry import CONNECTION, NOBODY, REQUEST_ID, AccessEntry, Format, Origin
from prefork.observe.access_json import json_format
from prefork.observe.access_terminal import terminal_format
from prefork.observe.clock import SECOND_NS, clf_time, once_a_second, utc_time
from prefork.speedups import access

PRESETS: Mapping[str, str] = {
    "common": '{addr} - {user} [{time}] "{request}" {status} {bytes}',
    "combined": '{addr} - {user} [{time}] "{request}" {status} {bytes} "{referer}" "{user_agent}"',
}
JSON = "json"
DEV = "dev"

_Environ = Mapping[str, Any]
_Getter = Callable[[AccessEntry], object]


def access_format_problem(text: str) -> str | None:
    """What is wrong with a format, in one line; None if nothing is."""
    try:
        compile_format(text)
    except ValueError as error:
        return str(error)
    return None


def needs_request_id(text: str) -> bool:
    """Whether lines of this (good) format hold one."""
    return text == JSON or "request_id" in {name for _, name, _, _ in string.Formatter().parse(text)}


def compile_format(text: str, origin: Origin = NOBODY, *, colours: bool = False) -> Format:
    """The function that writes entries in the format `text`. Raises ValueError with one line if it is bad. `colours` concerns
    "dev" alone: the lines are for a terminal."""
    if text == JSON:
        return json_format(origin)
    if text == DEV:
        return terminal_format(_getters(origin), colours)
    exact = _text_format(_parse(PRESETS.get(text, text), origin))
    short = short_way(text)
    if short is None:
        return exact
    write = short.write

    def format_entry(entry: AccessEntry) -> bytes:
        line = write(entry.environ, entry.status, entry.body_bytes, entry.now_ns)
        return exact(entry) if line is None else line

    return format_entry


def short_way(text: str) -> ApacheLine | None:
    """What writes most lines of the format `text` sooner than `compile_format` does; None: there is nothing."""
    return ApacheLine(text == "combined", clf_time) if text in PRESETS else None


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
        raise ValueError(f"{text!r} is neither common, combined, json nor dev, and has no {{field}} in it")
    return parts


def _text_format(parts: list[str | _Getter]) -> Format:
    template = "".join("%s" if callable(part) else part.replace("%", "%%") for part in parts) + "\n"
    getters = tuple(part for part in parts if callable(part))

    def format_entry(entry: AccessEntry) -> bytes:
        return (template % tuple([get(entry) for get in getters])).encode()

    return format_entry


class ApacheLineInPython:
    """`common` or `combined` of a request in which nothing has to be escaped, and nobody is logged in."""

    __slots__ = ("_combined", "_quotes", "_time", "_time_text")

    def __init__(self, combined: bool, time_text: Callable[[int], str]) -> None:
        """`time_text` of a Unix time in seconds is asked for once a second."""
        self._combined = combined
        self._quotes = b'"' * (6 if combined else 2)
        self._time_text = time_text
        self._time = (-1, "")

    def write(self, environ: _Environ, status: int, body_bytes: int, now_ns: int, /) -> bytes | None:
        """The line; None: it is not as simple as that."""
        get = environ.get
        addr = get("REMOTE_ADDR") or "-"
        method = get("REQUEST_METHOD")
        if not method or get("REMOTE_USER") or type(addr) is not str or " " in addr:
            return None
        second, now = self._time
        now_s = now_ns // SECOND_NS
        if now_s != second:
            now = self._time_text(now_s)
            # One assignment: another thread sees the old pair or the new one.
            self._time = (now_s, now)
        line = (
            f'{addr} - - [{now}] "{method} {get("RAW_URI")} {get("SERVER_PROTOCOL")}" {status} {body_bytes}'
        )
        if self._combined:
            line = f'{line} "{get("HTTP_REFERER") or "-"}" "{get("HTTP_USER_AGENT") or "-"}"'
        try:
            data = line.encode()
        except UnicodeEncodeError:
            return None
        # Exactly our own quotes, and nothing that could end a line or hide something in a terminal.
        return data + b"\n" if data.translate(None, _HARMLESS) == self._quotes else None


if TYPE_CHECKING:
    ApacheLine = ApacheLineInPython
else:
    # The compiled one takes fewer lines for simple: only what is text already.
    ApacheLine = ApacheLineInPython if access is None else access.ApacheLine


_HARMLESS = bytes(code for code in range(0x20, 0x7F) if chr(code) not in '"\\')
"""Printable ASCII but for the quote and the backslash."""


# What the client sent -------------------------------------------------------------------------------


def _path(environ: _Environ) -> str:
    # Not PATH_INFO: dispatching middleware moves its parts to SCRIPT_NAME, and decoding loses what was sent.
    return str(environ.get("RAW_URI") or "").partition("?")[0]


def _query(environ: _Environ) -> str:
    return str(environ.get("RAW_URI") or "").partition("?")[2]


def request_of(environ: _Environ) -> str | None:
    """The request line, or what was sent in its place; None if there was nothing."""
    get = environ.get
    method = get("REQUEST_METHOD")
    return f"{method} {get('RAW_URI')} {get('SERVER_PROTOCOL')}" if method else get("RAW_URI")


def _connection(environ: _Environ) -> str | None:
    found = environ.get(CONNECTION)
    return str(found[0]) if found else None


def _connection_request(environ: _Environ) -> str | None:
    found = environ.get(CONNECTION)
    return str(found[1]) if found else None


_KEYS: Mapping[str, str] = {
    "addr": "REMOTE_ADDR",
    "user": "REMOTE_USER",
    "method": "REQUEST_METHOD",
    "protocol": "SERVER_PROTOCOL",
    "host": "HTTP_HOST",
    "referer": "HTTP_REFERER",
    "user_agent": "HTTP_USER_AGENT",
    "request_id": REQUEST_ID,
    "tls": "SSL_PROTOCOL",
}
_DERIVED: Mapping[str, Callable[[_Environ], str | None]] = {
    "path": _path,
    "query": _query,
    "request": request_of,
    "connection": _connection,
    "connection_request": _connection_request,
}
_MAY_HOLD_SPACES = frozenset({"request", "referer", "user_agent"})
_UNSAFE = re.compile(r"[^ !#-\[\]-~]")
_UNSAFE_OR_SPACE = re.compile(r"[^!#-\[\]-~]")


def _getters(origin: Origin) -> dict[str, _Getter]:
    local, utc = once_a_second(clf_time), once_a_second(utc_time)
    getters: dict[str, _Getter] = {
        "time": lambda entry: local(entry.now_ns),
        "time_iso": lambda entry: f"{utc(entry.now_ns)}.{entry.now_ns % SECOND_NS // 1_000_000:03d}Z",
        "status": lambda entry: entry.status,
        "bytes": lambda entry: entry.body_bytes,
        "bytes_in": lambda entry: entry.bytes_in,
        "duration_us": lambda entry: entry.duration_ns // 1000,
        "duration_ms": lambda entry: f"{entry.duration_ns / 1e6:.3f}",
        "duration_s": lambda entry: f"{entry.duration_ns / 1e9:.6f}",
        "queue_us": lambda entry: entry.queued_ns // 1000,
        "queue_ms": lambda entry: f"{entry.queued_ns / 1e6:.3f}",
        "queue_s": lambda entry: f"{entry.queued_ns / 1e9:.6f}",
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
