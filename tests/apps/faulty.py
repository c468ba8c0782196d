"""Fails at import in the way that the environment variable FAULT names; without it, it serves."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
import time

FAULT = os.environ.get("FAULT", "")
number = 42


def hang() -> None:
    while True:
        time.sleep(60)  # the line a hanging boot must be found at


if FAULT == "raise":
    raise RuntimeError("the database is gone")
if FAULT == "exit":
    sys.exit(7)
if FAULT == "os_exit":
    os._exit(5)
if FAULT == "segfault":
    ctypes.string_at(0)
if FAULT == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if FAULT == "hang":
    hang()
if FAULT == "interrupt":
    raise KeyboardInterrupt
if FAULT == "no_fork":
    # RLIMIT_NPROC by hand: the user it runs as here may be unable to read the module `resource`.
    ctypes.CDLL(None).setrlimit(6, (ctypes.c_ulong * 2)(1, 1))
if FAULT == "thread":
    threading.Thread(target=hang, name="metrics-exporter", daemon=True).start()
if FAULT == "socket":
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {FAULT}".encode()]


async def asgi(scope, receive, send):
    raise AssertionError("never called")


def create_app():
    return app
