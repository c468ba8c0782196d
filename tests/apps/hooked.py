"""An application that writes down, in the file of $HOOK_LOG, which of its hooks were called with what."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import prefork

prefork.before_stop(lambda **fields: note("before_stop", **fields))


def note(hook: str, **fields: Any) -> None:
    line = json.dumps({"hook": hook, "process": os.getpid(), **fields}) + "\n"
    fd = os.open(os.environ["HOOK_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line.encode())
    os.close(fd)


@prefork.on_zygote_ready
def zygote_ready(generation: int, pid: int) -> None:
    note("on_zygote_ready", generation=generation, pid=pid)


@prefork.after_fork
def forked(worker: int, generation: int) -> None:
    note("after_fork", worker=worker, generation=generation)


def hangs() -> None:
    note("hangs")
    time.sleep(3600)


def slow(**fields: Any) -> None:
    note("on_slow", **fields)
    raise ValueError("a broken hook")


def timeout(**fields: Any) -> None:
    note("on_timeout", **fields)
    os._exit(5)


def reload_failed(what: str, stage: str, error: str) -> None:
    note("on_reload_failed", what=what, stage=stage, error=error)


class Handler(logging.Handler):
    """A handler of the application's own."""

    def emit(self, record: logging.LogRecord) -> None:
        raised = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        note("logged", name=record.name, text=record.getMessage(), raised=raised)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(float(environ["QUERY_STRING"]))
    if path == "/raise":
        raise KeyError("raised")
    start_response("404 Not Found" if path == "/missing" else "200 OK", [("Content-Type", "text/plain")])
    return [str(environ.get("prefork.request_id")).encode()]
