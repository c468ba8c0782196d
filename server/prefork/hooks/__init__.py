"""Functions of the application's that are called when something happens: the decorators that register them.

Owns: the public names. Runs in: zygote, worker, and the child of a zygote that runs a hook for an event of the master's; anywhere
else a decorator changes nothing, so that the same code runs in a shell or a test. Must not know: the processes.

A hook takes the keyword arguments that it names; those it does not name are left out.
"""

from __future__ import annotations

from prefork.hooks.registry import Function, add

__all__ = ["after_fork", "before_stop", "on_reload_failed", "on_slow", "on_timeout", "on_zygote_ready"]


def on_zygote_ready(function: Function) -> Function:
    """Have `function(generation, pid)` called once for each release, in the process that has imported the application and that
    workers will be forked from: what it loads is shared by all of them. Not called where nothing is preloaded."""
    return add("on_zygote_ready", function)


def after_fork(function: Function) -> Function:
    """Have `function(worker, generation, pid)` called in each worker before it accepts connections: to open what must not be
    shared, such as connections to a database."""
    return add("after_fork", function)


def before_stop(function: Function) -> Function:
    """Have `function(worker, generation, pid, reason, requests)` called in each worker that leaves, after its last request."""
    return add("before_stop", function)


def on_slow(function: Function) -> Function:
    """Have `function(request, client, worker, generation, pid, thread, elapsed_s, stack)` called, in a process of its own, for a
    request that runs for longer than `[requests] slow`."""
    return add("on_slow", function)


def on_timeout(function: Function) -> Function:
    """Have `function(request, client, worker, generation, pid, thread, elapsed_s)` called, in a process of its own, for a request
    that runs for longer than `[requests] timeout`."""
    return add("on_timeout", function)


def on_reload_failed(function: Function) -> Function:
    """Have `function(what, generation, stage, error, traceback, serving_generation)` called, in a process of its own with the
    release that goes on serving. `what` is reload, rollback or upgrade."""
    return add("on_reload_failed", function)
