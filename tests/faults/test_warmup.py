"""Warm-up: the application answers before any client asks, and a release that cannot is not taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.server import Server, ServerFactory

from .conftest import deploy

Deployed = Callable[..., Server]

APP = """
SEEN = []

def app(environ, start_response):
    if environ.get("prefork.warmup"):
        SEEN.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']} at {os.getpid()}")
    body = "\\n".join([str(os.getpid()), *SEEN]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

FAILING = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/health":
        raise RuntimeError("no such table")
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]
"""


def warm(*targets: str, **more: object) -> dict[str, dict[str, object]]:
    return {"app": {"warmup": list(targets), **more}}


def test_the_zygote_asks_once_for_all_workers(deployed: Deployed) -> None:
    server = deployed(workers=2, settings=warm("/", "/search?q=a%20b"), body=APP)
    zygote = server.wait_for_event("zygote_ready")["pid"]
    pid, *seen = server.get("/").text.splitlines()
    assert pid != zygote
    assert seen == [f"GET /? at {zygote}", f"GET /search?q=a%20b at {zygote}"]
    assert server.wait_for_event("warmed_up", path="/")["status"] == "200 OK"


def test_a_worker_that_imports_by_itself_warms_up_by_itself(deployed: Deployed) -> None:
    server = deployed(workers=1, settings=warm("/", preload="never"), body=APP)
    pid, *seen = server.get("/").text.splitlines()
    assert seen == [f"GET /? at {pid}"]


def test_what_warm_up_opens_counts_as_what_the_import_opens(deployed: Deployed) -> None:
    """A connection to a database, opened by the first request, must not be shared by all workers."""
    app = """
    import socket

    KEPT = []

    def app(environ, start_response):
        if not KEPT:
            KEPT.append(socket.create_server(("127.0.0.1", 0)))
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]
    """
    server = deployed(workers=2, settings=warm("/"), body=app)
    assert "socket" in server.wait_for_event("not_preloaded")["found"]
    assert server.get("/").status == 200


@pytest.mark.parametrize("preload", ["auto", "never"])
def test_a_release_that_fails_it_is_not_taken(deployed: Deployed, preload: str) -> None:
    server = deployed(workers=1, settings=warm("/", "/health", preload=preload))
    deploy(server, "v2", FAILING)
    done = server.command("reload", "--wait")
    assert done.returncode == 1
    assert "RuntimeError: no such table" in done.stderr
    assert "prefork: reload failed (warmup): GET /health raised RuntimeError: no such table" in done.stderr
    assert "/prefork/" not in done.stderr, "only the application's own frames"
    assert server.get("/").body == b"v1"


def test_a_first_release_that_fails_it_does_not_start(
    server_factory: ServerFactory, tmp_path: object
) -> None:
    server = server_factory({"app": {"target": "release:app"}}, argv=["--version"])
    server.wait()
    deploy(server, "v1", FAILING)
    again = server_factory(
        {"app": {"target": "release:app", "warmup": ["/health"]}}, directory=server.directory
    )
    assert again.wait() == 3
    assert again.wait_for_event("boot_failed")["stage"] == "warmup"
    again.wait_for_log("no such table")
