"""What the servers are asked: one table.

Owns: for each workload what the server must offer, the options of wrk, and what runs beside it. Knows nothing of servers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.servers import Wish

SCRIPTS = Path(__file__).resolve().parent.parent / "workloads"


@dataclass(frozen=True)
class Workload:
    """One kind of load."""

    name: str
    what: str
    wish: Wish = field(default_factory=Wish)
    path: str = "/"
    options: tuple[str, ...] = ()
    """Further options of wrk."""
    connections: int = 64
    beside: tuple[str, int] | None = None
    """A path that is asked for at the same time, and over how many connections; not counted in requests or latency."""
    idle: int = 0
    """Keep-alive connections that have made one request and are silent."""
    all_cores: bool = False
    """Server and client share all cores (for the fairness between workers); otherwise the server has the first alone."""


def _script(name: str) -> tuple[str, ...]:
    return ("-s", str(SCRIPTS / f"{name}.lua"))


PATHS = Wish("paths:app")

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("hello", "2 header fields, 13 bytes", options=("-H", "Accept: */*")),
        Workload("browser", "11 header fields, the same each time", options=_script("browser")),
        Workload(
            "unique",
            "10 header fields, five of them different each time, as behind a proxy",
            options=_script("unique"),
        ),
        Workload("close", "a new connection for each request", options=("-H", "Connection: close")),
        Workload("post", "16 KiB sent and sent back", PATHS, "/echo", _script("post")),
        Workload("upload", "10 MiB sent", PATHS, "/upload", _script("upload"), connections=8),
        Workload("big", "1 MiB response", PATHS, "/big", connections=16),
        Workload("file", "10 MiB by wsgi.file_wrapper", PATHS, "/file", connections=16),
        Workload("flask", "a template page of Flask", Wish("flask_app:app")),
        Workload("django", "a template page of Django", Wish("django_app:app")),
        Workload("tls", "hello over TLS, keep-alive", Wish(tls=True)),
        Workload(
            "pool",
            "8 threads, each request waits 5 ms",
            Wish("paths:app", threads=8),
            "/wait",
            connections=32,
        ),
        Workload(
            "mixed",
            "2 workers of 4 threads; beside the load, 2 clients whose requests wait 500 ms each",
            Wish("paths:app", workers=2, threads=4),
            connections=16,
            beside=("/slow", 2),
        ),
        Workload(
            "idle", "hello beside 5,000 idle keep-alive connections", options=("-H", "Accept: */*"), idle=5000
        ),
        Workload("many", "2 workers over both cores", Wish(workers=2), all_cores=True),
    )
}
