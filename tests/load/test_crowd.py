"""Thousands of clients that want nothing, and hundreds that want it slowly: nobody else notices."""

from __future__ import annotations

import threading
import time

import pytest

from support.crowd import crowd, need_descriptors, resident_kib, wait_for_descriptors
from support.deadline import SLOWNESS
from support.http import encode
from support.measured import Measured
from support.server import Server, ServerFactory

IDLE, SENDERS, READERS = 2000, 200, 200
P99_MS = 20.0
MEMORY_MIB = 100.0
REQUESTS = 1000

FAR = {"header_timeout": 600, "body_timeout": 600, "write_timeout": 600, "keepalive_timeout": 600}
HALF_HEAD = b"POST /echo HTTP/1.1\r\nHost: t\r\nX-Slow: "
HALF_BODY = encode("POST", "/digest", [("Content-Length", "1000000")]) + b"x" * 1000


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def answers_ms(server: Server, count: int) -> list[float]:
    """How long each answer took, on one connection after another."""
    took = []
    for _ in range(count // 20):
        with server.connect() as connection:
            for _ in range(20):
                start = time.perf_counter()
                assert connection.get("/").body == b"Hello, World!"
                took.append((time.perf_counter() - start) * 1000)
    return took


@pytest.mark.parametrize("threads", [1, 4])
def test_a_crowd_of_idle_and_slow_clients(serve: ServerFactory, measured: Measured, threads: int) -> None:
    need_descriptors()
    server = serve("probe:app", workers=2, threads=threads, settings={"requests": FAR})
    workers = list(server.workers())
    quiet = answers_ms(server, REQUESTS)
    before = {pid: resident_kib(pid) for pid in workers}
    with crowd(server) as clients:
        for sock in clients.join(IDLE, encode("GET", "/")):
            sock.setblocking(True)
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        slow = clients.join(SENDERS // 2, HALF_HEAD) + clients.join(SENDERS // 2, HALF_BODY)
        readers = clients.join(READERS, encode("GET", f"/big?size={64 << 20}"), receive_buffer=4096)
        wait_for_descriptors(workers, IDLE + SENDERS + READERS, "the crowd")
        done = threading.Event()

        def trickle() -> None:
            while not done.wait(0.05):
                for sock in slow:
                    clients.say(sock, b"x")
                for sock in readers[::4]:
                    try:
                        sock.recv(512)
                    except BlockingIOError:
                        continue

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            took = answers_ms(server, REQUESTS)
        finally:
            done.set()
            thread.join()
        grown = [(resident_kib(pid) - before[pid]) / 1024 for pid in workers]
    measured(
        f"{IDLE} idle, {SENDERS} slow senders, {READERS} slow readers: p50 {percentile(took, 0.5):.2f} ms, "
        f"p99 {percentile(took, 0.99):.2f} ms, slowest {max(took):.1f} ms (alone: p99 {percentile(quiet, 0.99):.2f} ms); "
        f"memory above start, each worker: {', '.join(f'{mib:.1f} MiB' for mib in grown)}"
    )
    assert percentile(took, 0.99) < P99_MS * SLOWNESS
    assert max(grown) < MEMORY_MIB
    assert list(server.workers()) == workers
