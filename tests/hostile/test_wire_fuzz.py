"""The fuzzer's inputs to a real worker: it serves on, its log holds no traceback, and no descriptor stays behind."""

from __future__ import annotations

import contextlib
import socket

import pytest

from fuzz.generate import Dice, sample
from support.crowd import open_descriptors, resident_kib, wait_until_gone
from support.measured import Measured
from support.server import ServerFactory

COUNT, SEED = 1500, 11
GROWTH_KIB = 16 * 1024
FAR = {"header_timeout": 600, "body_timeout": 600, "keepalive_timeout": 600}


@pytest.mark.parametrize(
    ("threads", "buffer_body"), [(1, True), (4, True), (4, False)], ids=["inline", "threads", "unbuffered"]
)
def test_damaged_requests_leave_nothing_behind(
    serve: ServerFactory, measured: Measured, threads: int, buffer_body: bool
) -> None:
    server = serve("hidden:app", threads=threads, settings={"requests": {**FAR, "buffer_body": buffer_body}})
    (worker,) = server.workers()
    assert server.get("/").status == 200
    wait_until_gone([worker], 1 << 20)
    descriptors = open_descriptors(worker)
    memory = resident_kib(worker)
    dice = Dice(SEED)
    ways = {"whole": 0, "in two": 0, "half-closed": 0, "reset": 0}
    for _ in range(COUNT):
        wire = sample(dice)
        way = dice.pick(list(ways))
        ways[way] += 1
        with server.connect() as connection, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            if way == "in two":
                cut = dice.below(len(wire) + 1)
                connection.send(wire[:cut])
                connection.send(wire[cut:])
            else:
                connection.send(wire)
            if way == "reset":
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                continue
            connection.sock.shutdown(socket.SHUT_WR)
            connection.read_to_end()
    measured(f"count {COUNT}, seed {SEED}: {ways}; memory {resident_kib(worker) - memory:+} KiB")
    wait_until_gone([worker], descriptors)
    assert list(server.workers()) == [worker]
    assert server.get("/").body.startswith(b"GET / ")
    assert resident_kib(worker) - memory < GROWTH_KIB
    text = server.log.text.replace("RuntimeError: on purpose", "")
    assert "fault" not in text
    tracebacks = [line for line in server.log.lines if "Traceback" in line]
    assert len(tracebacks) == len(server.log.events("request_failed")), (
        "only the application's own error, on purpose"
    )
