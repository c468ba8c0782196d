"""The access log as a person reads it in a terminal: `12:03:04 GET /cart?page=2 200 12.4ms 5.1kB`.

Owns: that format and its colours. Pure. Runs in: worker. Must not know: where lines go, what in a request could hurt a
terminal (the getters escape it).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from prefork.observe.access_entry import AccessEntry, Format
from prefork.observe.clock import SECOND_NS

_GREEN, _CYAN, _YELLOW, _RED, _BOLD, _DIM = "32", "36", "33", "31", "1", "2"
_OF_CLASS = {1: _CYAN, 2: _GREEN, 3: _CYAN, 4: _YELLOW, 5: f"{_BOLD};{_RED}"}
_SLOW_S = 1.0


def terminal_format(getters: Mapping[str, Callable[[AccessEntry], object]], colours: bool) -> Format:
    """`getters` give the fields of the request, escaped."""
    method, path, query = getters["method"], getters["path"], getters["query"]
    paint = _painted if colours else _plain

    def format_entry(entry: AccessEntry) -> bytes:
        now = time.strftime("%H:%M:%S", time.localtime(entry.now_ns // SECOND_NS))
        asked = query(entry)
        target = path(entry) if asked == "-" else f"{path(entry)}?{asked}"
        seconds = entry.duration_ns / 1e9
        took = paint(_duration(seconds), f"{_BOLD};{_YELLOW}" if seconds >= _SLOW_S else _DIM)
        status = paint(str(entry.status), _OF_CLASS.get(entry.status // 100, _BOLD))
        size = paint(_size(entry.body_bytes), _DIM)
        line = f"{paint(now, _DIM)} {paint(str(method(entry)), _BOLD)} {target} {status} {took} {size}\n"
        return line.encode()

    return format_entry


def _plain(text: str, _colour: str) -> str:
    return text


def _painted(text: str, colour: str) -> str:
    """ECMA-48 section 8.3.117, SGR."""
    return f"\x1b[{colour}m{text}\x1b[0m"


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f}ms" if seconds < 1 else f"{seconds:.2f}s"


def _size(count: int) -> str:
    if count < 1000:
        return f"{count}B"
    return f"{count / 1000:.1f}kB" if count < 1_000_000 else f"{count / 1_000_000:.1f}MB"
