"""What of the settings says that files are sent: `[static]`, and headers in which the application names one.

Owns: making both out of the settings. Runs in the worker. Must not know: how files are served.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from prefork.settings.model import Settings
from prefork.wsgi.context import EventLog, WSGIApplication

if TYPE_CHECKING:
    from prefork.wsgi.static import StaticFiles


def import_for(settings: Settings) -> None:
    """What the functions below will need, for those who import before a fork. Most servers send no files: seven modules less."""
    if settings.static.places:
        importlib.import_module("prefork.wsgi.static")
    if settings.server.sendfile_header:
        importlib.import_module("prefork.wsgi.handover")


def static_files(settings: Settings, log: EventLog) -> StaticFiles | None:
    """`[static]`; None when nothing is in it."""
    if not settings.static.places:
        return None
    from prefork.wsgi.static import StaticFiles, StaticPlace

    places = [
        StaticPlace(
            prefix=prefix,
            directory=place.directory,
            cache_control=place.cache_control,
            index=place.index,
            precompressed=place.precompressed,
            hidden=place.hidden,
            follow_symlinks=place.follow_symlinks,
        )
        for prefix, place in settings.static.places.items()
    ]
    return StaticFiles(places, log)


def with_hand_over(application: WSGIApplication, settings: Settings) -> WSGIApplication:
    """`application`, whose `[server] sendfile_header` is obeyed if there is one."""
    header = settings.server.sendfile_header
    if not header:
        return application
    from prefork.wsgi.handover import FileHandOver

    return FileHandOver(application, header, settings.server.sendfile_paths)
