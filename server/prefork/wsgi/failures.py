"""How an error in the application is told.

Owns: its words and its traceback, without our own frames. Runs in the worker. Must not know: where they are written.
"""

from __future__ import annotations

import traceback

_PACKAGE = __package__.split(".")[0]


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
        module = frame.tb_frame.f_globals.get("__name__", "")
        if not str(module).startswith(f"{_PACKAGE}."):
            break
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


def is_without_application(error: BaseException) -> bool:
    """Only our own code was running when it was raised: a rule that the application had broken before."""
    frame = error.__traceback__
    while frame is not None:
        if not str(frame.tb_frame.f_globals.get("__name__", "")).startswith(f"{_PACKAGE}."):
            return False
        frame = frame.tb_next
    return True
