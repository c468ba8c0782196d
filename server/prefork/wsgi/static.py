"""Static files: a WSGI application of our own for the paths of `[static]`.

Owns: from a path of a URL to a file and its answer. Runs in the worker, in the loop thread: it never waits for a thread of the
application, and holds a descriptor only while a larger file is on its way. Must not know: sockets, settings, who calls it.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from prefork.http.negotiation import preferred_codings
from prefork.wsgi.beneath import IsDirectoryError, NoFileError, OpenFile, open_file
from prefork.wsgi.context import EventLog
from prefork.wsgi.fileanswer import Headers, Plan, body_of, new_boundary, plan, validators_of
from prefork.wsgi.mediatypes import content_type_of

SIBLINGS = {"br": b".br", "zstd": b".zst", "gzip": b".gz"}
"""Content coding -> end of the name of the file that is coded so; the smallest first."""

_METHODS = "GET, HEAD"
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class StaticPlace(msgspec.Struct, frozen=True):
    """One line of `[static]`."""

    prefix: str
    """Without the slash at its end."""
    directory: str
    cache_control: str = ""
    index: str = ""
    precompressed: bool = True
    hidden: bool = False
    follow_symlinks: bool = False


class StaticFiles:
    """All places; the longest prefix that fits is the one."""

    def __init__(self, places: Sequence[StaticPlace], log: EventLog) -> None:
        self._places = sorted(places, key=lambda place: -len(place.prefix))
        self._prefixes = tuple(place.prefix for place in self._places)
        self._log = log

    def serves(self, path: str) -> bool:
        """Whether PATH_INFO `path` is ours."""
        return path.startswith(self._prefixes) and self._place_of(path) is not None

    def _place_of(self, path: str) -> StaticPlace | None:
        for place in self._places:
            if path.startswith(place.prefix) and path[len(place.prefix) :][:1] in ("", "/"):
                return place
        return None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[Any]:
        path = environ["PATH_INFO"]
        place = self._place_of(path)
        if place is None:
            return _short(start_response, "404 Not Found")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _short(start_response, "405 Method Not Allowed", [("Allow", _METHODS)])
        relative = relative_path(path[len(place.prefix) :], hidden=place.hidden)
        if relative is None:
            return _short(start_response, "404 Not Found")
        try:
            return self._answer(place, relative, environ, start_response)
        except NoFileError:
            return _short(start_response, "404 Not Found")
        except OSError as error:
            return self._failed(error, path, start_response)

    def _answer(
        self, place: StaticPlace, relative: bytes, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[Any]:
        in_directory = environ["PATH_INFO"].endswith("/")
        if in_directory:
            if not place.index:
                raise NoFileError("a directory has no content of its own")
            relative += place.index.encode()
        try:
            file, coding = _best(place, relative, environ.get("HTTP_ACCEPT_ENCODING"))
        except IsDirectoryError:
            if in_directory or not place.index:
                raise
            # Links in the index are relative to the directory, which a browser takes from the last slash.
            return _short(start_response, "301 Moved Permanently", [("Location", _with_slash(environ))])
        try:
            answer = _plan(place, relative, file, coding, environ)
        except BaseException:
            file.close()
            raise
        body = body_of(file, answer, head_only=environ["REQUEST_METHOD"] == "HEAD")
        start_response(answer.status, answer.headers)
        return body  # type: ignore[no-any-return]

    def _failed(self, error: OSError, path: str, start_response: Callable[..., Any]) -> Iterable[Any]:
        if isinstance(error, PermissionError):
            return _short(start_response, "403 Forbidden")
        self._log.warning("static_failed", path=path, error=error.strerror or str(error))
        if error.errno in _OUT_OF_DESCRIPTORS:
            return _short(start_response, "503 Service Unavailable", [("Retry-After", "1")])
        return _short(start_response, "500 Internal Server Error")


def relative_path(path: str, *, hidden: bool = False) -> bytes | None:
    """What is behind the prefix, as a path in the directory; None if it cannot name a file there.

    `path` is decoded already (PATH_INFO, latin-1 for bytes as PEP 3333 has it), so escaped dots and slashes are plain here.
    """
    if path in ("", "/"):
        return b""
    segments = path[1:].split("/")
    for segment in segments[:-1] if segments[-1] == "" else segments:
        if segment in ("", ".", "..") or (segment[0] == "." and not hidden):
            return None
    return path[1:].encode("latin-1")


def _best(place: StaticPlace, relative: bytes, accept: str | None) -> tuple[OpenFile, str]:
    """The file in the coding that the client likes best, and that coding ("" for the file itself)."""
    follow = place.follow_symlinks
    plain = open_file(place.directory, relative, follow_symlinks=follow)
    if not (place.precompressed and accept):
        return plain, ""
    for coding in preferred_codings(accept, tuple(SIBLINGS)):
        try:
            sibling = open_file(place.directory, relative + SIBLINGS[coding], follow_symlinks=follow)
        except (NoFileError, OSError):
            continue  # not there, or not for us: the next one, at last the file itself
        plain.close()
        return sibling, coding
    return plain, ""


def _plan(place: StaticPlace, relative: bytes, file: OpenFile, coding: str, environ: dict[str, Any]) -> Plan:
    headers: Headers = []
    if place.precompressed:
        headers.append(("Vary", "Accept-Encoding"))
    if place.cache_control:
        headers.append(("Cache-Control", place.cache_control))
    if coding:
        headers.append(("Content-Encoding", coding))
    return plan(
        environ,
        file.size,
        content_type_of(relative.decode("latin-1")),
        validators_of(file.size, file.mtime_ns, coding),
        headers,
        now_s=time.time(),
        boundary=new_boundary() if "HTTP_RANGE" in environ else "",
    )


def _with_slash(environ: dict[str, Any]) -> str:
    # Made of the decoded path and not of the target, which may be absolute and name another host.
    path = quote((environ["SCRIPT_NAME"] + environ["PATH_INFO"]).encode("latin-1")) + "/"
    query = environ["QUERY_STRING"]
    return f"{path}?{query}" if query else path


def _short(start_response: Callable[..., Any], status: str, headers: Headers | None = None) -> list[bytes]:
    body = f"{status}\n".encode("ascii")
    start_response(
        status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *(headers or [])]
    )
    return [body]
