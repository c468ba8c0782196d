"""Which functions are called for which hook, in this process.

Owns: the table; forked processes inherit it. Runs in: zygote, worker, hook processes. Must not know: when hooks are run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

NAMES = ("on_zygote_ready", "after_fork", "before_stop", "on_slow", "on_timeout", "on_reload_failed")

Function = TypeVar("Function", bound=Callable[..., Any])

_registered: dict[str, list[Callable[..., Any]]] = {}


def add(name: str, function: Function) -> Function:
    """Register `function`, once however often it is asked for."""
    functions = _registered.setdefault(name, [])
    if function not in functions:
        functions.append(function)
    return function


def replace(name: str, functions: Iterable[Callable[..., Any]]) -> None:
    """Put `functions`, those of the settings, before the registered ones."""
    mine = list(dict.fromkeys(functions))
    _registered[name] = mine + [each for each in _registered.get(name, ()) if each not in mine]


def functions_of(name: str) -> list[Callable[..., Any]]:
    """In the order in which they are called."""
    return list(_registered.get(name, ()))
