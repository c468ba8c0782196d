"""`static_files` of `run_simple`: files beside the application.

Owns: which file, if any, a path stands for; what is none goes to the application. Runs in: the developer's process. Must not
know: how files are sent (`wsgi.static`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from prefork.errors import PreforkError
from prefork.wsgi.beneath import NoFileError, open_file
from prefork.wsgi.context import EventLog, WSGIApplication
from prefork.wsgi.static import StaticFiles, StaticPlace, relative_path


class StaticFilesError(PreforkError):
    """`static_files` names what is not there."""


class _Place(msgspec.Struct, frozen=True):
    prefix: str
    """Without the slash at its end."""
    directory: str
    file: str = ""
    """The one file that `prefix` stands for; empty: everything in the directory."""


class SharedFiles:
    """A WSGI application in front of another one."""

    def __init__(
        self,
        application: WSGIApplication,
        exports: Mapping[str, str | tuple[str, str]],
        log: EventLog,
    ) -> None:
        """`exports`: prefix of paths -> directory, file, or (package, path in it). The first that has the file is the one. Raises
        StaticFilesError."""
        self._application = application
        self._places = [_place(prefix, target) for prefix, target in exports.items()]
        self._senders = {place: _sender(place, log) for place in self._places}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[Any]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            path = environ["PATH_INFO"]
            for place in self._places:
                name = _name_in(place, path)
                if name is not None and _is_there(place, name):
                    inside = {**environ, "PATH_INFO": f"/{name}"}
                    return self._senders[place](inside, start_response)
        return self._application(environ, start_response)


def _place(prefix: str, target: str | tuple[str, str]) -> _Place:
    if not prefix.startswith("/"):
        raise StaticFilesError(f"static_files: {prefix!r} is no prefix of paths: it must begin with a slash")
    path = Path(target) if isinstance(target, str) else _of_package(*target)
    if path.is_file():
        return _Place(prefix, str(path.parent.absolute()), path.name)
    # One that is not there yet may come: a build makes it.
    return _Place(prefix.rstrip("/"), str(path.absolute()))


def _of_package(package: str, path: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        raise StaticFilesError(f"static_files: there is no package {package!r} in the file system")
    locations = spec.submodule_search_locations
    return Path(next(iter(locations)) if locations else Path(str(spec.origin)).parent) / path


def _sender(place: _Place, log: EventLog) -> StaticFiles:
    # What the developer changes is to be seen at once; a tag makes that cheap. And links lead to where he wants them to.
    static = StaticPlace("", place.directory, cache_control="no-cache", follow_symlinks=True)
    return StaticFiles([static], log)


def _name_in(place: _Place, path: str) -> str | None:
    """What `path` names in the directory, as PEP 3333 has it (latin-1 for bytes); None: nothing there."""
    if place.file:
        return place.file.encode().decode("latin-1") if path == place.prefix else None
    if not path.startswith(f"{place.prefix}/"):
        return None
    name = path[len(place.prefix) + 1 :]
    return name if name and not name.endswith("/") and relative_path(f"/{name}") is not None else None


def _is_there(place: _Place, name: str) -> bool:
    try:
        open_file(place.directory, name.encode("latin-1"), follow_symlinks=True).close()
    except NoFileError:
        return False
    except OSError:
        return True  # and whoever sends it says what is wrong with it
    return True
