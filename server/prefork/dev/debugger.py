"""Werkzeug's interactive debugger around an application.

Owns: putting it there, and what it may be reached by. Runs in: a worker of `prefork --dev`, and the process of `run_simple`.
Must not know: who serves.

The page of a traceback holds a console in each frame, in the process that raised it: so there must be one process. The pin that
unlocks the console is told in the terminal only. Requests with a Host that is not local (DNS rebinding) get no console.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from prefork.errors import PreforkError

Application = Callable[..., Any]

LOCAL_HOSTS = (".localhost", "127.0.0.1", "[::1]")
_EVERYWHERE = frozenset({"", "0.0.0.0", "::", "[::]"})


def is_available() -> bool:
    """Whether Werkzeug is installed."""
    from importlib.util import find_spec

    return find_spec("werkzeug") is not None and find_spec("werkzeug.debug") is not None


def wrap(
    app: Application, evalex: bool = True, *, hosts: Iterable[str] = (), announce: bool = True
) -> Application:
    """The application with the debugger around it. `evalex`: with a console in each frame. `hosts`: names beside localhost
    under which the console may be used. `announce`: Werkzeug tells the pin, if this is the process that serves. Raises
    `PreforkError` if Werkzeug is not installed."""
    if not is_available():
        raise PreforkError(
            "the interactive debugger is Werkzeug's, which is not installed: pip install werkzeug, or go without it"
        )
    from werkzeug.debug import DebuggedApplication

    debugged: Any = DebuggedApplication(app, evalex=evalex, pin_logging=announce)
    debugged.pin_logging = True  # when somebody asks for it
    trusted = [*LOCAL_HOSTS, *(host for host in hosts if host not in _EVERYWHERE)]
    debugged.trusted_hosts = list(dict.fromkeys(trusted))
    wrapped: Application = debugged
    return wrapped


def pin_of(app: Application) -> str | None:
    """The pin that unlocks the console of a wrapped application; None if it is off, or there is no console."""
    if os.environ.get("WERKZEUG_DEBUG_PIN") == "off" or not getattr(app, "evalex", False):
        return None
    pin = getattr(app, "pin", None)
    return pin if isinstance(pin, str) else None
