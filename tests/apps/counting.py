"""Counts its requests by itself, with `prefork.metrics`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from prefork import metrics

CALLS = metrics.counter("test_calls", "Requests that the application has begun")
IMPORTS = metrics.counter("test_imports", "Processes that have imported it")
LEVEL = metrics.gauge("test_level", "Set by query", mode="last")
RUNNING = metrics.gauge("test_running", "Requests that run")
SIZES = metrics.histogram("test_sizes", "Of what is asked for", ("kind",), buckets=(1, 10, 100))
PIDS = metrics.gauge("test_pid", "Of each worker", mode="all")

IMPORTS.inc()
PIDS.set(os.getpid())


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    CALLS.inc()
    PIDS.set(os.getpid())
    with RUNNING.track():
        path = environ["PATH_INFO"]
        if path.startswith("/size/"):
            SIZES.labels("asked").observe(int(path.removeprefix("/size/")))
        elif path.startswith("/level/"):
            LEVEL.set(int(path.removeprefix("/level/")))
        elif path == "/many":
            for number in range(20_000):
                metrics.counter("test_many", "Too many", ("number",)).labels(number).inc()
        body = environ["wsgi.input"].read() or b"ok"
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
