"""Rows about the processes: signals, the end, the death of the master, what systemd is told, descriptors."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path

from matrix.clients import Clients, Outcome, Start
from matrix.servers import Wish, read_response, session


def term_exits(start: Start) -> Outcome:
    server = start(Wish())
    server.signal(signal.SIGTERM)
    begun = time.monotonic()
    ended = server.wait_until(lambda: not server.runs, 8.0)
    return Outcome(ended, f"exits after {time.monotonic() - begun:.1f} s" if ended else "**goes on serving**")


def term_twice(start: Start) -> Outcome:
    """A second TERM means now: a request of 30 s runs."""
    server = start(Wish(workers=1))
    with server.connect(15) as sock:
        sock.sendall(b"GET /sleep/30 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.5)
        server.signal(signal.SIGTERM)
        time.sleep(0.5)
        begun = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            server.signal(signal.SIGTERM)
        ended = server.wait_until(lambda: not server.runs, 10.0)
    seconds = time.monotonic() - begun
    return Outcome(
        ended and seconds < 5, f"ends after {seconds:.1f} s" if ended else "**still there after 10 s**"
    )


def term_with_queue(start: Start) -> Outcome:
    server = start(Wish(workers=1))
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(server.connect(15)) for _ in range(8)]
        for sock in sockets:
            sock.sendall(b"GET /sleep/0.2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        time.sleep(0.1)
        server.signal(signal.SIGTERM)
        answered = sum(read_response(sock)[0] == 200 for sock in sockets)
    return Outcome(answered == 8, f"{answered} of 8 answered")


def six_ttin(start: Start) -> Outcome:
    server = start(Wish(workers=1))
    before = len(list(session(server.process.pid)))
    for _ in range(6):
        server.signal(signal.SIGTTIN)
        # Of two that wait to be delivered the kernel keeps one (signal(7)): not a matter of the server.
        time.sleep(0.25)
    server.wait_until(lambda: len(list(session(server.process.pid))) >= before + 6, 4.0)
    if not server.runs:
        return Outcome(False, "**server gone**")
    more = len(list(session(server.process.pid))) - before
    return Outcome(more == 6, f"{more:+d} workers")


def killed_master(start: Start) -> Outcome:
    server = start(Wish())
    processes = list(session(server.process.pid))
    with Clients(server):
        time.sleep(0.3)
        server.process.kill()
        server.process.wait()
        begun = time.monotonic()
        gone = server.wait_until(lambda: not any(map(_lives, processes)), 20.0)
        seconds = time.monotonic() - begun
    if not gone:
        return Outcome(False, "**workers stay** (20 s)")
    server.process = server.start()
    again = server.wait_ready()
    text = f"workers gone after {seconds:.1f} s, next start {'succeeds' if again else '**fails**'}"
    return Outcome(again and seconds < 2, text)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ready_when_it_serves(start: Start) -> Outcome:
    """systemd is told READY=1 when requests are answered, not before the application is imported (1 s)."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(f"{folder}/notify")
        inbox.settimeout(5.0)
        begun = time.monotonic()
        told: list[float] = []

        def listen() -> None:
            with contextlib.suppress(OSError):
                while b"READY=1" not in inbox.recv(4096).split(b"\n"):
                    pass
                told.append(time.monotonic() - begun)

        thread = threading.Thread(target=listen)
        thread.start()
        start(Wish(), before="time.sleep(1)", environment={"NOTIFY_SOCKET": f"{folder}/notify"})
        answers_s = time.monotonic() - begun
        thread.join()
    if not told:
        return Outcome(False, "never told")
    text = f"READY=1 after {told[0]:.1f} s, first response after {answers_s:.1f} s"
    return Outcome(told[0] > 1.0, text)


def out_of_descriptors(start: Start) -> Outcome:
    """80 connections, and each worker may open 20 more descriptors than it has; then the connections go."""
    server = start(Wish())
    before = server.workers()
    for pid in before:
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 20, hard))
    with contextlib.ExitStack() as stack:
        for _ in range(80):
            with contextlib.suppress(OSError):
                stack.enter_context(server.connect(2)).sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(2)
    again = server.wait_until(lambda: server.get(timeout_s=2)[0] == 200, 10.0)
    if not again:
        return Outcome(False, "**no answers any more**")
    # Not by who answers now: with little to do, one of two workers may answer everybody.
    died = not all(Path(f"/proc/{pid}").exists() for pid in before)
    return Outcome(not died, "**a worker dies**" if died else "the same workers go on")
