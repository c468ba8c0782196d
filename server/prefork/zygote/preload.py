"""Import the application before the fork, or decide not to.

Owns: the decision that `[app] preload` leaves open, and the freeze of what is shared. Runs in: zygote. Must not know:
channels, forking.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Literal

import msgspec

from prefork.errors import BootError
from prefork.wsgi.loader import WSGIApplication, load_application
from prefork.zygote.hygiene import ignore_masters_signals
from prefork.zygote.inspection import inspect_process
from prefork.zygote.sharing import fill_gaps, forget_lookups, import_what_comes_late
from prefork.zygote.warmup import WarmUp

PreloadMode = Literal["auto", "always", "never"]


class Preloaded(msgspec.Struct, frozen=True):
    """The application, or the reason why workers have to import it themselves."""

    application: WSGIApplication | None
    note: str = ""
    restart: bool = False
    """This process may not fork: it must execute itself again and not import the application."""


def preload(
    target: str, mode: PreloadMode, sockets_before: Mapping[int, int], unsafe_note: str, warm_up: WarmUp
) -> Preloaded:
    """Import `target` as `mode` says. `unsafe_note` is set when an earlier attempt found it unsafe.

    Raises BootError: the application does not import, its warm-up fails, or `always` insists on what is unsafe (stage "preload").
    """
    if mode == "never" or unsafe_note:
        return Preloaded(None, unsafe_note)
    application = load_application(target)
    import_what_comes_late()
    # Before requests fill it with what workers will look up, too.
    forget_lookups()
    # Before the inspection: it may open connections and start threads, as any first request.
    warm_up(application)
    ignore_masters_signals()
    findings = inspect_process(sockets_before)
    if findings.safe:
        return Preloaded(application)
    if mode == "always":
        raise BootError(
            "preload",
            f"{target!r} leaves {findings} behind its import, which a fork would break; start them in the workers"
            ' or set preload = "never"',
        )
    return Preloaded(None, str(findings), restart=True)


def freeze() -> bool:
    """Move all objects out of the collector's sight, so that no collection in a worker writes to shared pages, and let no new
    object come between them.

    The collector stays off here: its next run would bring new objects into the shared heap. Returns whether it was on,
    for the workers (an application may have switched it off on purpose).
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    gc.freeze()
    fill_gaps()
    return was_enabled
