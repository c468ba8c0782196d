"""Hooks for what the master has seen: each in a short-lived process of its own, forked from the zygote.

Owns: what such a process does, that it ends, and that it is told if it does not end well. The master imports nothing of the
application's, a zygote must not be kept from forking workers, and a worker may be stuck; so nothing but these processes waits for
a hook. Runs in: such a process, and another that watches it. Must not know: why a hook is run.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable

from prefork.errors import BootError
from prefork.hooks.registry import functions_of
from prefork.hooks.running import run_hooks
from prefork.ipc.messages import RunHook
from prefork.observe.log import Log
from prefork.settings.model import Settings
from prefork.title import setproctitle
from prefork.worker.hooks import install_hooks
from prefork.worker.logconfig import configure_logging
from prefork.zygote import hygiene

_GRACE_S = 2.0
"""For code in C that cannot be interrupted, after which the process ends however it stands."""


def is_wanted(settings: Settings, hook: str) -> bool:
    """Whether any function would be called. A name in the settings may still have to be looked up."""
    return bool(getattr(settings.hooks, hook, ())) or bool(functions_of(hook))


def run_errand(
    order: RunHook, settings: Settings, master_pid: int, log: Log, *, has_application: bool, title: str
) -> None:
    """In the process that was forked for it: call the functions of one hook."""
    hygiene.reset_worker_signals()
    hygiene.die_with_parent(master_pid, signal.SIGKILL)
    hygiene.forget_inherited_exit_handlers()
    setproctitle(f"prefork: hook {order.hook}{title}")
    if _watched(order.hook, log):
        return
    log = log.bind(pid=os.getpid())
    timeout_s = settings.hooks.timeout
    with open(os.devnull, "w") as nowhere:
        # A thread in C, which ends the process even if the interpreter does not get to run anything any more.
        functions = max(1, len(getattr(settings.hooks, order.hook)), len(functions_of(order.hook)))
        faulthandler.dump_traceback_later(timeout_s * (functions + 1) + _GRACE_S, exit=True, file=nowhere)
        if has_application or _prepared(settings, order.hook, log):
            run_hooks(order.hook, order.arguments, timeout_s, log)
        faulthandler.cancel_dump_traceback_later()


def _watched(hook: str, log: Log) -> bool:
    """True in the process that has waited for a child which runs the hook, and said so if that was ended by something else than
    its last line: os._exit, a crash, the time limit. False in that child; and without memory for one, where nobody watches."""
    watcher = os.getpid()
    try:
        child = os.fork()
    except OSError:
        return False
    if not child:
        hygiene.die_with_parent(watcher, signal.SIGKILL)
        return False
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        log.error("hook_failed", hook=hook, error=f"its process ended in the middle of it: {how}")
    return True


def _prepared(settings: Settings, hook: str, log: Log) -> bool:
    """Nothing was preloaded: this process imports what it needs itself."""
    steps: tuple[Callable[[Settings], None], ...] = (configure_logging, install_hooks)
    for step in steps:
        try:
            step(settings)
        except BootError as error:
            log.error("hook_failed", hook=hook, error=error.error, traceback=error.traceback)
            return False
    return True
