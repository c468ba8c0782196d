"""An application with a request handler of its own, written as for Werkzeug's development server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefork import WSGIRequestHandler


class Handler(WSGIRequestHandler):
    server_version = "shop/1.4"

    def version_string(self) -> str:
        return f"{self.server_version} (hand-made)"

    def make_environ(self) -> dict[str, Any]:
        environ = super().make_environ()
        environ["shop.site"] = self.headers.get("X-Site", "main")
        return environ

    def run_wsgi(self) -> None:
        self.log_message("%s begins", self.path)
        super().run_wsgi()

    def address_string(self) -> str:
        return "somebody"

    def log_request(self, code: int = 0, size: int = 0) -> None:
        self.log("info", "%s: %d, %d bytes, %s", self.path, code, size, "timed" if self.duration_ns else "?")

    def log_error(self, format: str, *args: Any) -> None:
        super().log_error("Oh: " + format, *args)
        self.log("warning", "that was %s", "unforeseen" if self.failure is None else self.failure.event)

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        self.log_error("%s dropped", (environ or {}).get("PATH_INFO"))


class Nameless(WSGIRequestHandler):
    def version_string(self) -> str:
        return self.headers["User-Agent"]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError("broken application")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/endless":
        return iter(lambda: b"x" * 100_000, b"")
    return [f"{environ['shop.site']} {environ['SERVER_SOFTWARE']}".encode()]
