"""X-Sendfile and X-Accel-Redirect: the application names a file in a header, the server sends it.

Owns: the layer between server and application that looks for the header, and which files may be named. Runs in the worker, in
the thread that has the request. Must not know: sockets, settings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from prefork.http.conditional import Validators
from prefork.http.dates import parse_date
from prefork.wsgi.beneath import NoFileError, OpenFile, open_file
from prefork.wsgi.context import WSGIApplication
from prefork.wsgi.fileanswer import Headers, body_of, new_boundary, plan, validators_of
from prefork.wsgi.mediatypes import content_type_of
from prefork.wsgi.response import ApplicationError

ENCODED = "x-accel-redirect"
"""The header whose value is a URI with percent-escapes, as nginx has it; all others hold a path as it is."""

_REPLACED = frozenset({"content-length", "accept-ranges", "content-range", "etag", "last-modified"})
"""What the file decides; the application's own validators are kept as values (see `_validators`)."""


class FileHandOver:
    """A WSGI application around the user's. `places`: what the application writes -> directory."""

    def __init__(self, app: WSGIApplication, header: str, places: Mapping[str, str]) -> None:
        self._app = app
        self._header = header.lower()
        self._places = sorted(places.items(), key=lambda place: -len(place[0]))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[Any]:
        call = _Call(self, environ, start_response)
        body = self._app(environ, call.start_response)
        if call.started:
            return body if call.named is None else call.replace(body)
        return call.later(body)

    def named_in(self, headers: Headers) -> str | None:
        """The file that these headers name."""
        header = self._header
        return next((value for name, value in headers if name.lower() == header), None)

    def without_it(self, headers: Headers) -> Headers:
        """What is left for the client."""
        gone = _REPLACED | {self._header}
        return [field for field in headers if field[0].lower() not in gone]

    def open(self, named: str) -> tuple[OpenFile, str]:
        """The file called `named`, and its path in its directory. Raises ApplicationError for one that may not be sent."""
        raw = named.encode("latin-1")
        if self._header == ENCODED:
            raw = unquote_to_bytes(raw.partition(b"?")[0])
        path = raw.decode("latin-1")
        for prefix, directory in self._places:
            if path.startswith(prefix + "/"):
                relative = path[len(prefix) + 1 :]
                if any(segment in ("", ".", "..") for segment in relative.split("/")) or "\0" in relative:
                    break
                try:
                    return open_file(directory, relative.encode("latin-1")), relative
                except (NoFileError, OSError) as error:
                    raise ApplicationError(
                        f"{self._header} names {named!r}, which cannot be sent: {error}"
                    ) from None
        raise ApplicationError(
            f"{self._header} names {named!r}, which lies in none of the directories of server.sendfile_paths"
        )


class _Call:
    """One request on its way through."""

    def __init__(
        self, layer: FileHandOver, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> None:
        self._layer = layer
        self._environ = environ
        self._start_response = start_response
        self._status = ""
        self._headers: Headers = []
        self.started = False
        self.named: str | None = None

    def start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], None]:
        """Passed on at once, unless it names a file: then it waits until the file is open."""
        named = self._layer.named_in(headers)
        if named is None or exc_info is not None:
            self.named = None
            write: Callable[[bytes], None] = self._start_response(status, headers, exc_info)
        elif self.started:
            raise ApplicationError("start_response was called twice without exc_info")
        else:
            self.named, self._status, self._headers = named, status, headers
            write = _discard
        self.started = True
        return write

    def later(self, body: Iterable[bytes]) -> Iterable[Any]:
        """An application that calls start_response with its first item (a generator)."""
        return _Late(self, body)

    def replace(self, body: Any) -> Iterable[Any]:
        """The file in the place of `body`."""
        if hasattr(body, "close"):
            body.close()
        assert self.named is not None
        file, path = self._layer.open(self.named)
        try:
            headers = self._layer.without_it(self._headers)
            kind = next((value for name, value in headers if name.lower() == "content-type"), None)
            headers = [field for field in headers if field[0].lower() != "content-type"]
            environ = self._environ
            if self._status[:3] != "200":
                # Ranges and conditions are about what a GET would find (RFC 9110 section 13.2.1), not about error pages.
                environ = {"REQUEST_METHOD": environ["REQUEST_METHOD"]}
            answer = plan(
                environ,
                file.size,
                content_type_of(path) if kind is None else kind,
                self._validators(file),
                headers,
                now_s=time.time(),
                boundary=new_boundary() if "HTTP_RANGE" in environ else "",
            )
            status = (
                answer.status if environ is self._environ and answer.status[:3] != "200" else self._status
            )
            self._start_response(status, answer.headers)
        except BaseException:
            file.close()
            raise
        return body_of(file, answer, head_only=self._environ["REQUEST_METHOD"] == "HEAD")  # type: ignore[no-any-return]

    def _validators(self, file: OpenFile) -> Validators:
        """The application's own where it gave them: it may know better what makes two answers the same."""
        given = {name.lower(): value for name, value in self._headers}
        ours = validators_of(file.size, file.mtime_ns)
        modified = given.get("last-modified")
        return Validators(given.get("etag", ours.etag), parse_date(modified) if modified else ours.modified_s)


class _Late:
    """The iterable of an application that had not called start_response when it returned."""

    def __init__(self, call: _Call, body: Iterable[bytes]) -> None:
        self._call = call
        self._body: Any = body
        self._items: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._items is None:
            items = iter(self._body)
            try:
                first: tuple[Any, ...] = (next(items),)
            except StopIteration:
                first = ()
            if self._call.named is not None:
                body, self._body = self._body, ()
                self._body = self._call.replace(body)
                self._items = iter(self._body)
            else:
                self._items = items
                if first:
                    return first[0]
        return next(self._items)

    def close(self) -> None:
        """Of what is being sent: the application's iterable or the file."""
        if hasattr(self._body, "close"):
            self._body.close()


def _discard(data: bytes) -> None:
    """write() of an answer whose body is a file."""
