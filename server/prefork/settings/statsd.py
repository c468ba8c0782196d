"""Table `[statsd]`: numbers pushed to a statsd server.

Owns: its keys. Runs in: every process (as values). Must not know: what is sent.
"""

# No `from __future__ import annotations` here: annotations are values, they hold the kinds of the options.

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from prefork.settings.addresses import parse_endpoint
from prefork.settings.kinds.base import InvalidValueError, Kind, Mistake
from prefork.settings.kinds.numbers import Duration
from prefork.settings.kinds.text import Text, checked_text

_IP = r"[0-9.]+|[0-9a-f:.]+"

_RESERVED = r"[,|#\s@]"
"""What ends a name or a tag in a datagram."""


class StatsdAddress(Kind, frozen=True):
    """Where datagrams go; empty for nowhere."""

    takes_text = True

    def convert(self, value: object, directory: str) -> str:
        text = checked_text(value)
        if not text:
            return ""
        if text.startswith("localhost:"):
            text = text.replace("localhost", "127.0.0.1", 1)
        endpoint = parse_endpoint(text, directory)
        if not endpoint.is_unix and not re.fullmatch(_IP, endpoint.host):
            raise ValueError(
                "must be an IP address and a port, or unix:path: the master waits for no name server"
            )
        if not endpoint.is_unix and endpoint.port == 0:
            raise ValueError("must have a port from 1 to 65535")
        return str(endpoint)

    def plain(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    @property
    def unit(self) -> str:
        return '"127.0.0.1:8125", "[::1]:8125" or "unix:/run/statsd.sock"'


class Tags(Kind, frozen=True):
    """Names and values that every number carries."""

    def convert(self, value: object, directory: str) -> dict[str, str]:
        if not isinstance(value, dict):
            raise ValueError('must be a table of strings, such as {env = "live"}')
        mistakes = []
        for name, item in value.items():
            where = f".{name}"
            if not isinstance(item, str):
                mistakes.append(Mistake(item, "must be a string, in quotes", where))
            elif (
                not name
                or re.search(_RESERVED, name + item)
                or ":" in name
                or not (name + item).isprintable()
            ):
                mistakes.append(Mistake(item, 'must not hold spaces, "," "|" "#" or "@"', where))
        if mistakes:
            raise InvalidValueError(mistakes)
        return dict(value)

    def plain(self, value: Any) -> Any:
        return dict(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "string"}}


class StatsdSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[statsd]`."""

    address: Annotated[
        str,
        StatsdAddress(),
        Meta(
            description="Where a statsd server takes datagrams: UDP or a unix socket. Empty: nothing is sent."
        ),
    ] = ""
    prefix: Annotated[
        str,
        Text(
            "must be letters, digits and . _ -, such as shop.live",
            lambda text: re.fullmatch(r"[A-Za-z0-9_.-]*", text) is not None,
        ),
        Meta(description='Put in front of every name, with a ".".'),
    ] = "prefork"
    interval: Annotated[
        float,
        Duration(at_least=1.0, at_most=3600.0),
        Meta(description="Time between two pushes."),
    ] = 10.0
    tags: Annotated[
        dict[str, str],
        Tags(),
        Meta(
            description='Tags for every number, as DogStatsD and its kind understand them ({env = "live"}); others don\'t: leave '
            "empty."
        ),
    ] = msgspec.field(default_factory=dict)
