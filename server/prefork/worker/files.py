"""What of the settings says that files are sent: `[static]`, and headers in which the application names one.

Owns: making both out of the settings. Runs in the worker. Must not know: how files are served.
"""

from __future__ import annotations

from prefork.settings.model import Settings
from prefork.wsgi.context import EventLog, WSGIApplication
from prefork.wsgi.handover import FileHandOver
from prefork.wsgi.static import StaticFiles, StaticPlace


def static_files(settings: Settings, log: EventLog) -> StaticFiles | None:
    """`[static]`; None when nothing is in it."""
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
    return StaticFiles(places, log) if places else None


def with_hand_over(application: WSGIApplication, settings: Settings) -> WSGIApplication:
    """`application`, whose `[server] sendfile_header` is obeyed if there is one."""
    header = settings.server.sendfile_header
    return FileHandOver(application, header, settings.server.sendfile_paths) if header else application
