"""`[hooks]` of the settings in a process that has the application.

Owns: finding the functions, and what the hooks of a worker are told. Runs in: zygote (if it imports the application), worker,
hook processes. Must not know: how they are called.
"""

from __future__ import annotations

import os

from prefork.hooks import registry
from prefork.hooks.running import run_hooks
from prefork.settings.model import Settings
from prefork.worker.boot import WorkerBoot
from prefork.wsgi.loader import load_callable


def install_hooks(settings: Settings) -> None:
    """Look up every function that the settings name. Raises BootError."""
    for name in registry.NAMES:
        references: tuple[str, ...] = getattr(settings.hooks, name)
        if references:
            registry.replace(name, [load_callable(reference) for reference in references])


def run_after_fork(boot: WorkerBoot) -> None:
    """The worker is about to accept connections."""
    run_hooks("after_fork", _of(boot), boot.settings.hooks.timeout, boot.log)


def run_before_stop(boot: WorkerBoot, reason: str, requests: int) -> None:
    """The worker has answered its last request."""
    arguments = {**_of(boot), "reason": reason, "requests": requests}
    run_hooks("before_stop", arguments, boot.settings.hooks.timeout, boot.log)


def _of(boot: WorkerBoot) -> dict[str, object]:
    return {"worker": boot.slot, "generation": boot.generation, "pid": os.getpid()}
