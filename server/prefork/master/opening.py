"""What the first generation needs, together with the sockets that systemd has opened or kept.

Owns: the order in which those are taken, given up and made new. Runs in: master, once. Must not know: what systemd is told
besides.
"""

from __future__ import annotations

import time

from prefork.errors import ListenError
from prefork.master.listening import leftovers
from prefork.master.logfiles import LogFiles
from prefork.master.resources import Resources, prepare
from prefork.master.service import Service
from prefork.net.listeners import Keeper, Listener
from prefork.settings.model import Settings

GIVEN_UP_S = 2.0
"""So long an address may stay in use after systemd was told to give it up."""

RETRY_S = 0.02


def open_first(settings: Settings, files: LogFiles, service: Service) -> Resources:
    """What the settings ask for, with the sockets that systemd opened or kept. Raises ConfigError, ListenError."""
    held = service.inherited()
    unwanted = leftovers(settings, held)
    service.give_up(unwanted)
    held = [listener for listener in held if listener not in unwanted]
    # What systemd has given up it closes in a thread of its own: until then an address may be in use.
    deadline = time.monotonic() + (GIVEN_UP_S if unwanted else 0.0)
    while True:
        try:
            resources = prepare(settings, files, held)
            break
        except ListenError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_S)
    for listener, spec in zip(resources.all_listeners, resources.all_specs, strict=True):
        if listener.keeper is Keeper.STORE:
            listener.change(spec, settings.server.backlog)
    return resources


def opened_by(listener: Listener) -> str | None:
    """Who bound it, if not this process."""
    if listener.keeper is Keeper.UNIT:
        return f"systemd ({listener.name})"
    return "prefork before, kept by systemd" if listener.keeper is Keeper.STORE else None
