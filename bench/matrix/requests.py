"""Rows about requests: those that take too long, those beside slow clients, those that are wrong."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from matrix.clients import Outcome, Start
from matrix.corpus import INVALID
from matrix.servers import Server, Wish, read_response


def too_long(start: Start) -> Outcome:
    server = start(Wish(workers=1, timeout_s=2))
    begun = time.monotonic()
    status, _ = server.get("/sleep/6", timeout_s=10)
    seconds = time.monotonic() - begun
    answer = f"{status} after {seconds:.1f} s" if status else f"connection closed after {seconds:.1f} s"
    return Outcome(status >= 500 and seconds < 4, answer)


def sibling_of_too_long(start: Start) -> Outcome:
    server = start(Wish(workers=1, threads=4, timeout_s=2))
    with ThreadPoolExecutor(2) as pool:
        stuck = pool.submit(server.get, "/sleep/8", 15)
        time.sleep(1.5)
        healthy, _ = pool.submit(server.get, "/sleep/1.9", 15).result()
        stuck.result()
    return Outcome(healthy == 200, "answered" if healthy == 200 else "**lost**")


def _latency_beside(
    start: Start, occupy: Callable[[Server, contextlib.ExitStack], None], workers: int = 2
) -> Outcome:
    server = start(Wish(workers=workers))
    with contextlib.ExitStack() as stack:
        occupy(server, stack)
        time.sleep(0.3)
        begun = time.monotonic()
        status, _ = server.get(timeout_s=8)
        seconds = time.monotonic() - begun
    if status != 200:
        return Outcome(False, f"**no answer** in {seconds:.0f} s")
    return Outcome(seconds < 0.5, f"{seconds * 1000:.0f} ms")


def idle_sockets(start: Start) -> Outcome:
    def occupy(server: Server, stack: contextlib.ExitStack) -> None:
        for _ in range(4):
            stack.enter_context(server.connect())

    return _latency_beside(start, occupy)


def half_heads(start: Start) -> Outcome:
    def occupy(server: Server, stack: contextlib.ExitStack) -> None:
        for _ in range(4):
            stack.enter_context(server.connect()).sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-")

    return _latency_beside(start, occupy)


def unread_responses(start: Start) -> Outcome:
    def occupy(server: Server, stack: contextlib.ExitStack) -> None:
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", server.port))
            sock.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")

    return _latency_beside(start, occupy)


def busy_beside_idle(start: Start) -> Outcome:
    server = start(Wish(workers=2))
    stuck = 0
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(server.get, "/sleep/4", 15)
        time.sleep(0.3)
        for _ in range(10):
            begun = time.monotonic()
            server.get(timeout_s=8)
            stuck += time.monotonic() - begun > 0.5
        busy.result()
    return Outcome(stuck == 0, f"{stuck} of 10 wait")


def short_response(start: Start) -> Outcome:
    """The application promises 100 bytes and gives 5; the next request was sent already."""
    server = start(Wish())
    with server.connect(3) as sock:
        sock.sendall(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        with contextlib.suppress(OSError):
            while more := sock.recv(65536):
                data += more
    if data.count(b"HTTP/1.1 ") > 1:
        return Outcome(False, "**the next response is read as the rest**")
    return Outcome(True, "closed")


def half_a_body(start: Start) -> Outcome:
    server = start(Wish())
    with server.connect() as sock:
        sock.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789")
        sock.shutdown(socket.SHUT_WR)
        status, body = read_response(sock)
    if status == 200:
        return Outcome(False, f"**200**, the application got {body.decode()} of 100 bytes")
    return Outcome(True, str(status or "closed"))


def no_host(start: Start) -> Outcome:
    server = start(Wish())
    with server.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        status, _ = read_response(sock)
    return Outcome(status == 400, str(status or "closed"))


def connection_options(start: Start) -> Outcome:
    """`Connection: close, TE`: a list, of which close is one."""
    server = start(Wish())
    with server.connect(2) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close, TE\r\nTE: trailers\r\n\r\n")
        try:
            while sock.recv(65536):
                pass
        except TimeoutError:
            return Outcome(False, "**stays open**")
        except OSError:
            pass
    return Outcome(True, "closed")


def invalid_requests(start: Start) -> Outcome:
    server = start(Wish())
    accepted = 0
    for request in INVALID:
        with server.connect(1.0) as sock:
            try:
                sock.sendall(request)
                sock.shutdown(socket.SHUT_WR)
                head = sock.recv(4096)
            except OSError:
                continue
            accepted += head[9:10] == b"2"
    alive = server.get()[0] == 200
    return Outcome(not accepted and alive, f"{accepted} of {len(INVALID)} answered with 2xx")
