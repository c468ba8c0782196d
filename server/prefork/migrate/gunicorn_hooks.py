"""gunicorn's hooks, and what to do in place of each.

Owns: that list. Pure. Runs in: cli. Must not know: how the functions were written.
"""

from __future__ import annotations

from prefork.migrate.rows import Translate

_AFTER_FORK = '[hooks] after_fork = ["module:function"] (arguments: worker, generation, pid), in a module of the application'
_MASTER = "the master runs no code of the application's"
_REQUEST = (
    "there is no hook for each request: a WSGI middleware, or a handler of your own (server.request_handler)"
)
_DIRTY = "there are no dirty arbiters"

HOOKS = (
    ("on_starting", "", f"{_MASTER}; what has to be done once before serving belongs into the unit (ExecStartPre=), or into "
     "[hooks] on_zygote_ready"),
    ("on_reload", "", f"{_MASTER}; [hooks] on_zygote_ready is called in every new release"),
    ("when_ready", "", f"{_MASTER}; systemd is told by sd_notify, others ask /readyz ([status] listen)"),
    ("pre_fork", "hooks.on_zygote_ready", '[hooks] on_zygote_ready = ["module:function"] is called once, before the first fork'),
    ("post_fork", "hooks.after_fork", _AFTER_FORK),
    ("post_worker_init", "hooks.after_fork", _AFTER_FORK),
    ("worker_int", "hooks.before_stop", '[hooks] before_stop = ["module:function"] is called when a worker leaves'),
    ("worker_abort", "hooks.on_timeout", '[hooks] on_timeout = ["module:function"] is called for a request that takes too long'),
    ("worker_exit", "hooks.before_stop", '[hooks] before_stop = ["module:function"] (arguments: worker, generation, pid, reason, '
     "requests)"),
    ("child_exit", "", f"{_MASTER}; for prometheus_client's mark_process_dead: prefork.metrics needs none (docs/metrics.md)"),
    ("pre_exec", "", f"{_MASTER}; an upgrade (USR2) is tried before it is made"),
    ("pre_request", "", _REQUEST),
    ("post_request", "", _REQUEST),
    ("nworkers_changed", "", f"{_MASTER}; `prefork status --json` and /metrics tell the number"),
    ("on_exit", "", f"{_MASTER}; the unit's ExecStopPost= runs after the server"),
    ("ssl_context", "", "[tls] has certificates, ciphers and versions; contexts of your own are not taken"),
    ("on_dirty_starting", "", _DIRTY),
    ("dirty_post_fork", "", _DIRTY),
    ("dirty_worker_init", "", _DIRTY),
    ("dirty_worker_exit", "", _DIRTY),
)  # fmt: skip
"""Name, key of prefork's, what to do."""


def hook(says: str) -> Translate:
    """A function of the file cannot be named from outside of it: say what to do."""
    return lambda given, draft: draft.missing(given, says) if given.value is not None else None
