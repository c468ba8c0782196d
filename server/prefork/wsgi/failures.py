"""How an error in the application is told.

Owns: its words and its traceback, without our own frames. Runs in the worker. Must not know: where they are written.
"""

from __future__ import annotations

import traceback
from types import FrameType
from typing import Any, NamedTuple

_PACKAGE = __package__.split(".")[0]


class Failure(NamedTuple):
    """What the log says of it."""

    event: str
    """"request_failed", "request_interrupted", "close_failed" or "handler_failed"."""
    fields: dict[str, Any]
    """`error` (its words); perhaps `traceback` (text), `exception` and `application`."""


def in_words(error: BaseException) -> str:
    """Its type and text."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as second:  # noqa: BLE001 - __str__ is application code too
        return f"{type(error).__name__} (its str() raised {type(second).__name__})"


def application_traceback(error: BaseException) -> str:
    """The traceback of `error` without prefork's own frames at its top."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        if not _is_ours(frame.tb_frame):
            break
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


def caller_traceback(error: BaseException) -> str:
    """Where the application was when it broke a rule, without the frames of ours that noticed. Empty if only ours ran."""
    steps = [step for step in traceback.walk_tb(error.__traceback__) if not _is_ours(step[0])]
    if not steps:
        return ""
    lines = traceback.StackSummary.extract(iter(steps)).format()
    return "".join(["Traceback (most recent call last):\n", *lines, *traceback.format_exception_only(error)])


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(f"{_PACKAGE}.")
