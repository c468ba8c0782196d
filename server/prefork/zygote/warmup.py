"""Warm-up of the image that all workers are copies of.

Owns: when it happens (after the import, before the look at threads and sockets, before the freeze) and what is logged of it.
Runs in: zygote. Must not know: how a request without a connection is made (see `wsgi.warmup`).
"""

from __future__ import annotations

import os
from collections.abc import Callable

from prefork.hooks.running import run_hooks
from prefork.observe.log import Log
from prefork.settings.model import Settings
from prefork.worker.hooks import install_hooks
from prefork.worker.warmup import warm_up_application
from prefork.wsgi.loader import WSGIApplication

WarmUp = Callable[[WSGIApplication], None]


def prepare_with(settings: Settings, generation: int, listeners: list[tuple[int, str]], log: Log) -> WarmUp:
    """What to do with an application that has just been imported: its hooks are looked up, requests warm it up, and
    `on_zygote_ready` is called. It raises BootError."""

    def prepare(application: WSGIApplication) -> None:
        install_hooks(settings)
        addresses = [address for _, address in listeners]
        warm_up_application(application, settings, generation, addresses, log)

        arguments = {"generation": generation, "pid": os.getpid()}
        run_hooks("on_zygote_ready", arguments, settings.hooks.timeout, log)

    return prepare
