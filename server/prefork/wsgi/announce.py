"""What the server calls itself: `SERVER_SOFTWARE`, and the `Server` line of responses.

Owns: whose word counts, the settings' or that of a handler's subclass. Runs in the worker, once. Must not know: how it is sent.
"""

from __future__ import annotations

from prefork.errors import BootError
from prefork.wsgi.handler import WSGIRequestHandler


def server_software(handler_class: type[WSGIRequestHandler]) -> str:
    """SERVER_SOFTWARE: `server_version` of the handler. Raises BootError if that is no text."""
    return _checked(handler_class, "server_version", handler_class.server_version)


def server_header(handler_class: type[WSGIRequestHandler], setting: str, default: str) -> str:
    """What the `Server` line says: the `setting` if it is not the `default`, else what a subclass says in `server_version` or
    `version_string()`, else the default. Raises BootError if that is no line."""
    if setting != default:
        return setting
    base = WSGIRequestHandler
    if handler_class.version_string is not base.version_string:
        # Without a request and without a connection, so not with a constructor that may want either.
        try:
            said = handler_class.__new__(handler_class).version_string()
        except Exception as error:
            raise BootError(
                "request_handler",
                f"{handler_class.__qualname__}.version_string() raised {type(error).__name__}: {error}; it is asked once, "
                "before there is a request",
            ) from error
        return _checked(handler_class, "version_string()", said)
    if handler_class.server_version is not base.server_version:
        return _checked(handler_class, "server_version", handler_class.server_version)
    return default


def _checked(handler_class: type, name: str, said: object) -> str:
    if isinstance(said, str) and said.isascii() and (said.isprintable() or not said):
        return said
    raise BootError(
        "request_handler", f"{handler_class.__qualname__}.{name} is {said!r}: it must be printable ASCII text"
    )
