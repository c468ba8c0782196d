"""Calling the functions of a hook, so that nothing they do hurts whoever calls them.

Owns: the time limit, the arguments that a function gets, and what is told of one that fails. Runs in: zygote, worker, hook
processes; in the main thread. Must not know: which hook means what.

The limit is SIGALRM (setitimer(2)), whose handler raises in whatever the function does; code in C that does not come back ends
with the deadline of the process: boot_timeout, drain_timeout, or that of a process of its own.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from prefork.hooks.registry import functions_of

_AGAIN_S = 0.5
"""A hook that swallows the exception gets it again."""


class HookTimeout(BaseException):
    """The hook has taken too long. No Exception, so that `except Exception` in it does not keep it going."""


class HookLog(Protocol):
    """The part of the log that is needed."""

    def error(
        self, event: str, /, *, traceback: str = "", exception: BaseException | None = None, **fields: object
    ) -> None:
        """One record of level error."""


def run_hooks(name: str, arguments: Mapping[str, object], timeout_s: float, log: HookLog) -> None:
    """Call each function of the hook; never raises."""
    for function in functions_of(name):
        try:
            with _time_limit(timeout_s):
                _call(function, arguments)
        except BaseException as error:  # noqa: BLE001 - code of the application's, also sys.exit() in it
            log.error(
                "hook_failed",
                hook=name,
                function=_name_of(function),
                error=_in_words(error, timeout_s),
                traceback=_own_traceback(error),
                exception=error,
            )


def _call(function: Callable[..., Any], arguments: Mapping[str, object]) -> None:
    import inspect  # for those who have hooks: it costs a start 3 ms

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions in C have none
        function(**arguments)
        return
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        function(**arguments)
    else:
        named = {each.name for each in parameters}
        function(**{key: value for key, value in arguments.items() if key in named})


@contextmanager
def _time_limit(timeout_s: float) -> Iterator[None]:
    armed = True

    def expire(_number: int, _frame: FrameType | None) -> None:
        if armed:
            raise HookTimeout

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, timeout_s, _AGAIN_S)
    try:
        yield
    finally:
        armed = False
        # A hook may have come to want the signal for itself.
        if signal.getsignal(signal.SIGALRM) is expire:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


def _in_words(error: BaseException, timeout_s: float) -> str:
    if isinstance(error, HookTimeout):
        return f"interrupted after hooks.timeout = {timeout_s:g}s"
    try:
        return f"{type(error).__name__}: {error}"
    except Exception as second:  # noqa: BLE001 - __str__ is application code too
        return f"{type(error).__name__} (its str() raised {type(second).__name__})"


def _own_traceback(error: BaseException) -> str:
    """Without our frames, which are the first ones, and the signal's handler, which is the last."""
    steps = [each for each in traceback.walk_tb(error.__traceback__) if not _is_ours(each[0])]
    lines = traceback.StackSummary.extract(iter(steps)).format()
    return "".join(["Traceback (most recent call last):\n", *lines, *traceback.format_exception_only(error)])


def _is_ours(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in (__name__, contextmanager.__module__)


def _name_of(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", None) or "?"
    return f"{module}:{getattr(function, '__qualname__', None) or type(function).__name__}"
