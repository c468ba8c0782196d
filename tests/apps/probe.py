"""A WSGI application without a framework whose paths let a test see and steer what a worker does."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from gates import wait_at

Environ = dict[str, Any]
Answer = tuple[str, list[tuple[str, str]], Iterable[bytes]]


def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    query = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
    page = PAGES.get(environ["PATH_INFO"], missing)
    status, headers, body = page(environ, query)
    start_response(status, headers)
    return body


def plain(body: bytes, status: str = "200 OK") -> Answer:
    return status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))], [body]


def hello(environ: Environ, query: dict[str, str]) -> Answer:
    return plain(b"Hello, World!")


def missing(environ: Environ, query: dict[str, str]) -> Answer:
    return plain(b"no such page\n", "404 Not Found")


def worker(environ: Environ, query: dict[str, str]) -> Answer:
    """Which process and thread answered."""
    return plain(f"{os.getpid()} {threading.get_native_id()}".encode())


def gate(environ: Environ, query: dict[str, str]) -> Answer:
    """Wait at the gate `path`, then tell the process number."""
    wait_at(query["path"])
    return plain(str(os.getpid()).encode())


def stream(environ: Environ, query: dict[str, str]) -> Answer:
    """Two pieces with the gate `path` between them, of unknown length."""

    def pieces() -> Iterator[bytes]:
        yield b"first\n"
        wait_at(query["path"])
        yield b"second\n"

    return "200 OK", [("Content-Type", "text/plain")], pieces()


def big(environ: Environ, query: dict[str, str]) -> Answer:
    """`size` bytes in pieces of 64 KiB, with their length."""
    size, piece = int(query["size"]), b"0123456789abcdef" * 4096

    def pieces() -> Iterator[bytes]:
        for start in range(0, size, len(piece)):
            yield piece[: size - start]

    return "200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(size))], pieces()


def whole(environ: Environ, query: dict[str, str]) -> Answer:
    """`size` bytes in one piece."""
    return plain(bytes(int(query["size"])))


def digest(environ: Environ, query: dict[str, str]) -> Answer:
    """Length and SHA-256 of the request body."""
    sha256, size = hashlib.sha256(), 0
    while data := environ["wsgi.input"].read(65536):
        sha256.update(data)
        size += len(data)
    return plain(f"{size} {sha256.hexdigest()}".encode())


def echo(environ: Environ, query: dict[str, str]) -> Answer:
    return plain(environ["wsgi.input"].read())


def show_environ(environ: Environ, query: dict[str, str]) -> Answer:
    shown = {key: value for key, value in environ.items() if isinstance(value, (str, bool, int, tuple))}
    return plain(json.dumps(shown).encode())


def file(environ: Environ, query: dict[str, str]) -> Answer:
    """The file `path`, for the server to send as it can."""
    opened = open(query["path"], "rb")  # noqa: SIM115 - the server closes it
    headers = [("Content-Length", str(os.fstat(opened.fileno()).st_size))]
    return "200 OK", headers, environ["wsgi.file_wrapper"](opened)


def boom(environ: Environ, query: dict[str, str]) -> Answer:
    raise RuntimeError("boom")


PAGES: dict[str, Callable[[Environ, dict[str, str]], Answer]] = {
    "/": hello,
    "/worker": worker,
    "/gate": gate,
    "/stream": stream,
    "/big": big,
    "/whole": whole,
    "/digest": digest,
    "/echo": echo,
    "/environ": show_environ,
    "/file": file,
    "/boom": boom,
}
