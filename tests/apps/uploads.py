"""What applications do with a body that arrives while they run; each path is one way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return PAGES[environ["PATH_INFO"]](environ["wsgi.input"], start_response)


def answer(start_response: Callable[..., Any], text: str) -> list[bytes]:
    body = text.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def digest(stream: Any, start_response: Callable[..., Any]) -> list[bytes]:
    """Reads all of it."""
    sha256, size = hashlib.sha256(), 0
    while data := stream.read(65536):
        sha256.update(data)
        size += len(data)
    return answer(start_response, f"{size} {sha256.hexdigest()}")


def ignore(stream: Any, start_response: Callable[..., Any]) -> list[bytes]:
    """Reads nothing."""
    return answer(start_response, "ignored")


def five(stream: Any, start_response: Callable[..., Any]) -> list[bytes]:
    """Reads five bytes."""
    return answer(start_response, stream.read(5).decode())


def catch(stream: Any, start_response: Callable[..., Any]) -> list[bytes]:
    """Reads all of it, and copes if it does not come."""
    try:
        stream.read()
    except OSError as error:
        return answer(start_response, f"coped: {error}")
    return answer(start_response, "complete")


def echo(stream: Any, start_response: Callable[..., Any]) -> Iterator[bytes]:
    """Answers line by line while it reads."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for line in stream:
        yield b"> " + line


PAGES: dict[str, Callable[[Any, Callable[..., Any]], Iterable[bytes]]] = {
    "/digest": digest,
    "/ignore": ignore,
    "/five": five,
    "/catch": catch,
    "/echo": echo,
}
