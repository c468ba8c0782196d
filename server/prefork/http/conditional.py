"""Conditional requests: does the client already have it, does it still mean the same thing?

Owns: RFC 9110 section 13 for a representation that exists. Pure. Runs in: worker. Must not know where representations
come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from prefork.http.dates import parse_date
from prefork.http.tokens import OWS

_ENTITY_TAG = r'(?:W/)?"[!#-~\x80-\xff]*"'
_one_tag = re.compile(_ENTITY_TAG).fullmatch
_tag_list = re.compile(rf"[ \t,]*{_ENTITY_TAG}(?:[ \t]*,[ \t,]*{_ENTITY_TAG})*[ \t,]*").fullmatch
_tags_in = re.compile(_ENTITY_TAG).findall


class Verdict(Enum):
    """What the preconditions of a request make of it."""

    PROCEED = "proceed"
    NOT_MODIFIED = "304"
    FAILED = "412"


class Validators(msgspec.Struct, frozen=True):
    """What identifies one state of a representation (RFC 9110 section 8.8)."""

    etag: str | None
    """With its quotes, and W/ if it is a weak one."""
    modified_s: int | None
    """Last-Modified, seconds since the epoch."""


def evaluate(method: str, environ: Mapping[str, Any], now: Validators) -> Verdict:
    """The steps of RFC 9110 section 13.2.2, in its order. (Step 5 is `range_holds`.)"""
    reads = method in ("GET", "HEAD")
    if (expected := environ.get("HTTP_IF_MATCH")) is not None:
        if not _matches(expected, now.etag, weak=False):
            return Verdict.FAILED
    elif _modified_since(environ.get("HTTP_IF_UNMODIFIED_SINCE"), now.modified_s):
        return Verdict.FAILED
    if (known := environ.get("HTTP_IF_NONE_MATCH")) is not None:
        if _matches(known, now.etag, weak=True):
            return Verdict.NOT_MODIFIED if reads else Verdict.FAILED
    elif reads and _modified_since(environ.get("HTTP_IF_MODIFIED_SINCE"), now.modified_s) is False:
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def range_holds(condition: str | None, now: Validators, now_s: float) -> bool:
    """If-Range (RFC 9110 section 13.1.5): whether a Range may be obeyed. `now_s`: seconds since the epoch.

    A date is believed only if the file cannot have changed twice within that second (section 8.8.2.2).
    """
    if condition is None:
        return True
    if condition.endswith('"'):
        return _matches(condition, now.etag, weak=False) if _one_tag(condition) else False
    modified_s = now.modified_s
    return modified_s is not None and parse_date(condition) == modified_s and modified_s + 1 < now_s


def _matches(field: str, etag: str | None, *, weak: bool) -> bool:
    """Whether `etag` is among the tags of `field`; a malformed list names none."""
    if field.strip(OWS) == "*":
        return True
    if etag is None or not _tag_list(field):
        return False
    if weak:
        return etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in _tags_in(field)]
    return not etag.startswith("W/") and etag in _tags_in(field)


def _modified_since(field: str | None, modified_s: int | None) -> bool | None:
    """None: there is no such condition (a date that is none MUST be ignored)."""
    if field is None or modified_s is None or (since := parse_date(field)) is None:
        return None
    return modified_s > since
