"""Gets stuck in every way there is; `/quick` and `/steady` do not."""

from __future__ import annotations

import ctypes
import random
import socket
import threading
import time
from urllib.parse import parse_qs

from prefork import RequestTimeout, after_response, deadline

_lock = threading.Lock()
_lock.acquire()
_quiet, _silent = socket.socketpair()
_count = 0


def spin():
    while True:
        pass  # the line of a loop without end


def sleep():
    time.sleep(3600)


def lock():
    _lock.acquire()


def recv():
    _quiet.recv(1)


def c_with_the_gil():
    sum(range(10**12))


def c_without_the_gil():
    libc = ctypes.CDLL(None)
    while libc.usleep(500_000) in (0, -1):
        pass


WAYS = {each.__name__: each for each in (spin, sleep, lock, recv, c_with_the_gil, c_without_the_gil)}


def app(environ, start_response):
    way = environ["PATH_INFO"][1:]
    query = parse_qs(environ["QUERY_STRING"])
    seconds = float(query.get("s", ["0"])[0])
    if way in WAYS:
        WAYS[way]()
    elif way == "extended":
        deadline.extend(3600)
        time.sleep(seconds)
    elif way == "about":
        return about(start_response, seconds)
    elif way in ("streaming", "starts_then_hangs", "starts_then_spins"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces(seconds, 8 if way == "streaming" else 1, way)
    elif way == "afterwards":
        after_response(sleep)
    elif way == "quick":
        time.sleep(seconds)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


def pieces(seconds, count, way):
    for _ in range(count):
        yield b"piece "
        time.sleep(seconds)
    if way == "starts_then_hangs":
        sleep()
    if way == "starts_then_spins":
        spin()


def about(start_response, seconds):
    """Works for about `seconds`, in Python and in waits; tells what it saw."""
    seen = b"done"
    end = time.monotonic() + seconds * random.uniform(0.9, 1.1)
    try:
        while time.monotonic() < end:
            time.sleep(random.choice([0, 0.0005, 0.005]))
    except RequestTimeout:
        seen = b"interrupted"
    start_response("200 OK" if seen == b"done" else "503 Late", [("Content-Type", "text/plain")])
    return [seen]
