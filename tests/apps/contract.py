"""What applications do right and wrong with WSGI's contract; each path is one way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

TEXT = [("Content-Type", "text/plain")]
Start = Callable[..., Any]


class Body:
    """An iterable whose close() is seen in the log."""

    def __init__(self, items: Iterable[bytes]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._items)

    def close(self) -> None:
        sys.stderr.write("closed\n")
        sys.stderr.flush()


def app(environ: dict[str, Any], start_response: Start) -> Any:
    return Body(PAGES[environ["PATH_INFO"]](environ, start_response))


def bare(environ: dict[str, Any], start_response: Start) -> Any:
    """The same without `Body` around it."""
    return PAGES[environ["PATH_INFO"]](environ, start_response)


def raises_before(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", TEXT)
    if environ:
        raise RuntimeError("before")
    yield b"never"


def raises_between(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", TEXT)
    yield b"one"
    raise RuntimeError("between")


def raises_after(environ: dict[str, Any], start_response: Start) -> Iterator[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "3")])
    yield b"one"
    raise RuntimeError("after")


def writes(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    write = start_response("200 OK", TEXT)
    write(b"written, ")
    write(b"written, ")
    return [b"returned, ", b"returned"]


def too_short(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    return [b"short"]


def too_long(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return [b"longer than that"]


def starts_twice(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"never"]


def replaces(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    start_response("200 OK", TEXT)
    try:
        raise KeyError("x")
    except KeyError:
        start_response("404 Not Found", TEXT, sys.exc_info())
    return [b"replaced"]


def gives_text(environ: dict[str, Any], start_response: Start) -> Any:
    start_response("200 OK", TEXT)
    return ["text"]


def gives_nothing(environ: dict[str, Any], start_response: Start) -> Any:
    start_response("200 OK", TEXT)


def gives_bytes(environ: dict[str, Any], start_response: Start) -> Any:
    start_response("200 OK", TEXT)
    return b"bytes"


def bad_status(environ: dict[str, Any], start_response: Start) -> Any:
    start_response(200, TEXT)
    return [b"never"]


def bad_header(environ: dict[str, Any], start_response: Start) -> Any:
    start_response("200 OK", [("X-Count", 5)])
    return [b"never"]


def split_header(environ: dict[str, Any], start_response: Start) -> Any:
    start_response("200 OK", [("X-Echo", "a\r\nSet-Cookie: stolen=1")])
    return [b"never"]


def never_starts(environ: dict[str, Any], start_response: Start) -> Any:
    return [b"never"]


def hints(environ: dict[str, Any], start_response: Start) -> list[bytes]:
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
    start_response("200 OK", [*TEXT, ("Content-Length", "4")])
    return [b"page"]


PAGES: dict[str, Callable[[dict[str, Any], Start], Any]] = {
    f"/{page.__name__}": page
    for page in (
        *(raises_before, raises_between, raises_after, writes, too_short, too_long, starts_twice, replaces),
        *(gives_text, gives_nothing, gives_bytes, bad_status, bad_header, split_header, never_starts, hints),
    )
}
