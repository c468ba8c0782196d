"""Formats of access logs: gunicorn's, uWSGI's and Apache's as prefork's.

Owns: which field is which. Pure. Runs in: cli. Must not know: options.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from prefork.observe.access_format import PRESETS

_HEADERS = {
    "referer": "{referer}",
    "user-agent": "{user_agent}",
    "host": "{host}",
    "x-request-id": "{request_id}",
}

_GUNICORN = {
    "h": "{addr}",
    "l": "-",
    "u": "{user}",
    "t": "[{time}]",
    "r": "{request}",
    "m": "{method}",
    "U": "{path}",
    "q": "{query}",
    "H": "{protocol}",
    "s": "{status}",
    "st": "{status}",
    "B": "{bytes}",
    "b": "{bytes}",
    "f": "{referer}",
    "a": "{user_agent}",
    "T": "{duration_s}",
    "M": "{duration_ms}",
    "D": "{duration_us}",
    "L": "{duration_s}",
    "p": "{pid}",
}
_APACHE = {
    **{key: _GUNICORN[key] for key in "hlurmqHsBbT"},
    "a": "{addr}",
    "t": "[{time}]",
    "D": "{duration_us}",
    "O": "{bytes}",
    "I": "{bytes_in}",
    "P": "{pid}",
    "U": "{path}",
    "v": "{host}",
    "V": "{host}",
    "L": "{request_id}",
    "k": "{connection_request}",
    "%": "%",
}
_UWSGI = {
    "addr": "{addr}",
    "user": "{user}",
    "uri": "{path}",
    "method": "{method}",
    "proto": "{protocol}",
    "host": "{host}",
    "status": "{status}",
    "size": "{bytes}",
    "rsize": "{bytes}",
    "rssize": "{bytes}",
    "cl": "{bytes_in}",
    "msecs": "{duration_ms}",
    "micros": "{duration_us}",
    "secs": "{duration_s}",
    "ltime": "{time}",
    "ctime": "{time}",
    "ftime": "{time}",
    "time": "{time_iso}",
    "epoch": "{time_iso}",
    "referer": "{referer}",
    "uagent": "{user_agent}",
    "pid": "{pid}",
    "wid": "{worker}",
}


def from_gunicorn(text: str) -> tuple[str, list[str]]:
    """The format, and the fields that there are none for (they become "-")."""

    def field(name: str) -> str | None:
        header = re.fullmatch(r"\{(.+)\}i", name)
        return _HEADERS.get(header[1].lower()) if header else _GUNICORN.get(name)

    return _translated(text, r"%\((.+?)\)s", field)


def from_apache(text: str) -> tuple[str, list[str]]:
    """As `from_gunicorn`; Apache's LogFormat, or the name of one."""
    if text in PRESETS:
        return text, []

    def field(name: str) -> str | None:
        header = re.fullmatch(r"\{(.+)\}i", name)
        if header:
            return _HEADERS.get(header[1].lower())
        units = {"{ms}T": "{duration_ms}", "{us}T": "{duration_us}", "{s}T": "{duration_s}"}
        return units.get(name) or _APACHE.get(name)

    return _translated(text, r"%[<>!0-9,]*((?:\{[^}]+\})?[a-zA-Z%])", field)


def from_uwsgi(text: str) -> tuple[str, list[str]]:
    """As `from_gunicorn`."""
    return _translated(text, r"%\((.+?)\)", lambda name: _UWSGI.get(name))


def _translated(text: str, pattern: str, field: Callable[[str], str | None]) -> tuple[str, list[str]]:
    parts: list[str] = []
    unknown: list[str] = []
    end = 0
    for found in re.finditer(pattern, text):
        parts.append(_plain(text[end : found.start()]))
        known = field(found[1])
        if known is None:
            unknown.append(found[0])
        parts.append("-" if known is None else known)
        end = found.end()
    whole = "".join([*parts, _plain(text[end:])])
    return next((name for name, preset in PRESETS.items() if preset == whole), whole), unknown


def _plain(text: str) -> str:
    """Text between fields: in one line, its braces doubled."""
    shown = "".join(character if character.isprintable() else " " for character in text.rstrip("\r\n"))
    return shown.replace("{", "{{").replace("}", "}}")
