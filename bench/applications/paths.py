"""What the other workloads ask for, by path. The same for every server; nothing in it knows which one runs it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
BIG = b"x" * MIB
FILE = Path(tempfile.gettempdir()) / f"prefork-bench-{os.getuid()}-10MiB"
IMPORTED = str(time.time())

if not FILE.exists() or FILE.stat().st_size != 10 * MIB:
    FILE.write_bytes(b"f" * 10 * MIB)

Environ = dict[str, Any]


def _answer(start_response: Callable[..., Any], body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def echo(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The body of the request."""
    return _answer(start_response, environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))


def upload(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Reads a body piece by piece; answers its size."""
    size, left = 0, int(environ["CONTENT_LENGTH"])
    while left and (piece := environ["wsgi.input"].read(min(left, 64 * 1024))):
        size += len(piece)
        left -= len(piece)
    return _answer(start_response, str(size).encode())


def big(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """1 MiB."""
    return _answer(start_response, BIG)


def file(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """10 MiB through wsgi.file_wrapper, where there is one."""
    start_response(
        "200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(10 * MIB))]
    )
    opened = FILE.open("rb")
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(opened, 64 * 1024) if wrapper else iter(lambda: opened.read(64 * 1024), b"")


def wait(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """5 ms of waiting, as for a database."""
    time.sleep(0.005)
    return _answer(start_response, b"waited")


def slow(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """500 ms of waiting."""
    time.sleep(0.5)
    return _answer(start_response, b"waited long")


def imported(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """When this code was imported, seconds since the epoch."""
    return _answer(start_response, IMPORTED.encode())


def process(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Which process answers."""
    return _answer(start_response, str(os.getpid()).encode())


PATHS = {
    "/" + function.__name__: function for function in (echo, upload, big, file, wait, slow, imported, process)
}


def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """By path; 13 bytes for every other."""
    function = PATHS.get(environ["PATH_INFO"])
    return function(environ, start_response) if function else _answer(start_response, b"Hello, World!")
