"""Tells which request it was given, and says in the log if it was one that nobody sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    path = environ["PATH_INFO"]
    if "hidden" in path:
        print("THE HIDDEN REQUEST WAS SERVED", file=environ["wsgi.errors"])
    if path == "/error":
        raise RuntimeError("on purpose")
    body = b"" if path == "/unread" else environ["wsgi.input"].read()
    answer = f"{environ['REQUEST_METHOD']} {path} {len(body)}".encode()
    status = "302 Found" if path == "/redirect" else "200 OK"
    start_response(status, [("Content-Length", str(len(answer)))])
    return [answer]
