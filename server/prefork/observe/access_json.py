"""One answered request as one JSON object.

Owns: its keys and their order. Pure. Runs in: worker. Must not know: other formats, where lines go.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from prefork.observe.access_entry import CONNECTION, REQUEST_ID, AccessEntry, Format, Origin
from prefork.observe.clock import SECOND_NS, utc_time


class _Line(msgspec.Struct, gc=False):
    """The keys of a JSON line, in their order."""

    time: str
    addr: str | None
    user: str | None
    method: str | None
    path: str | None
    query: str | None
    protocol: str | None
    host: str | None
    referer: str | None
    user_agent: str | None
    request_id: str | None
    tls: str | None
    status: int
    bytes: int
    bytes_in: int
    duration_us: int
    queue_us: int
    connection: int | None
    connection_request: int | None
    worker: int
    gen: int
    pid: int


def json_format(origin: Origin) -> Format:
    """The function that writes entries as JSON."""
    encode = msgspec.json.Encoder().encode
    second, now = -1, ""
    worker, generation, pid = origin.worker, origin.generation, origin.pid

    def format_entry(entry: AccessEntry) -> bytes:
        nonlocal second, now
        now_s, rest = divmod(entry.now_ns, SECOND_NS)
        if now_s != second:
            # In this order: another thread that finds the second finds its text too.
            now = utc_time(now_s)
            second = now_s
        get = entry.environ.get
        target = get("RAW_URI") or ""
        path, _, query = target.partition("?") if type(target) is str else (str(target), "", "")
        connection, number = get(CONNECTION) or (None, None)
        line = _Line(
            f"{now}.{rest // 1_000_000:03d}Z",
            get("REMOTE_ADDR") or None,
            get("REMOTE_USER") or None,
            get("REQUEST_METHOD") or None,
            path or None,
            query or None,
            get("SERVER_PROTOCOL") or None,
            get("HTTP_HOST") or None,
            get("HTTP_REFERER") or None,
            get("HTTP_USER_AGENT") or None,
            get(REQUEST_ID),
            get("SSL_PROTOCOL"),
            entry.status,
            entry.body_bytes,
            entry.bytes_in,
            entry.duration_ns // 1000,
            entry.queued_ns // 1000,
            connection,
            number,
            worker,
            generation,
            pid,
        )
        if type(line.user) is not str and line.user is not None:
            return _exact_json(line, encode)
        try:
            data = encode(line)
        except (TypeError, ValueError):  # the application has put something into the environ
            return _exact_json(line, encode)
        return data + b"\n" if data.isascii() else _exact_json(line, encode)

    return format_entry


_TEXTS = (
    "addr",
    "user",
    "method",
    "path",
    "query",
    "protocol",
    "host",
    "referer",
    "user_agent",
    "request_id",
    "tls",
)


def _exact_json(line: _Line, encode: Callable[[object], bytes]) -> bytes:
    """For a line in which a text is none, or has bytes beyond ASCII: what was sent as UTF-8 is shown so."""
    for name in _TEXTS:
        setattr(line, name, _json_text(getattr(line, name)))
    return encode(line) + b"\n"


def _json_text(value: object) -> str | None:
    r"""None for what is not there; what was sent as UTF-8 as itself, other bytes as `\xNN`."""
    if not value:
        return None
    text = value if type(value) is str else str(value)
    if text.isascii():
        return text
    return text.encode("latin-1", "backslashreplace").decode("utf-8", "backslashreplace")
