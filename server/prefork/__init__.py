"""prefork: a pre-fork multi-process WSGI server daemon for Linux.

The public names of applications. They are imported when first asked for (PEP 562): the command line and the master import this
package too, and must load neither `wsgi` nor `http`. A zygote has them all before the application's first line.
"""

from __future__ import annotations

from prefork.version import __version__

# `typing` takes 5 ms to import, and this comes before the first zygote is started.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from prefork import deadline, metrics
    from prefork.contrib.serving import serve
    from prefork.dev.server import make_server
    from prefork.dev.simple import run_simple
    from prefork.errors import RequestTimeout
    from prefork.hooks import (
        after_fork,
        before_stop,
        on_reload_failed,
        on_slow,
        on_timeout,
        on_zygote_ready,
    )
    from prefork.wsgi.after import after_response
    from prefork.wsgi.handler import WSGIRequestHandler

__all__ = [
    "RequestTimeout",
    "WSGIRequestHandler",
    "__version__",
    "after_fork",
    "after_response",
    "before_stop",
    "deadline",
    "make_server",
    "metrics",
    "on_reload_failed",
    "on_slow",
    "on_timeout",
    "on_zygote_ready",
    "run_simple",
    "serve",
]

_WHERE = {
    "RequestTimeout": "prefork.errors",
    "WSGIRequestHandler": "prefork.wsgi.handler",
    "after_fork": "prefork.hooks",
    "after_response": "prefork.wsgi.after",
    "before_stop": "prefork.hooks",
    "deadline": "prefork.deadline",
    "make_server": "prefork.dev.server",
    "metrics": "prefork.metrics",
    "on_reload_failed": "prefork.hooks",
    "on_slow": "prefork.hooks",
    "on_timeout": "prefork.hooks",
    "on_zygote_ready": "prefork.hooks",
    "serve": "prefork.contrib.serving",
    "run_simple": "prefork.dev.simple",
}

DEVELOPMENT = frozenset(name for name, module in _WHERE.items() if module.startswith("prefork.dev."))
"""Names that are for a developer's machine: a zygote does not load them."""


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module 'prefork' has no attribute {name!r}")
    from importlib import import_module

    found = import_module(module)
    # A module's own name is set by its import.
    value = globals()[name] = found if module == f"prefork.{name}" else getattr(found, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
