"""What one connection costs a worker: the table of docs/limits.md against the real process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.crowd import crowd, need_descriptors, open_descriptors, resident_kib, settled, wait_until_gone
from support.deadline import eventually
from support.http import encode
from support.measured import Measured
from support.server import ServerFactory

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
COUNT = 150
FAR = {
    "header_timeout": 600,
    "body_timeout": 600,
    "write_timeout": 600,
    "keepalive_timeout": 600,
    "body_memory_shared": 0,  # which the page adds once for all connections
}

POST = b"POST /digest HTTP/1.1\r\nHost: t\r\n"
PIECES = encode("GET", f"/big?size={64 << 20}")

ROWS = {
    "nothing yet, or nothing between two requests": encode("GET", "/"),
    "has sent a part of a head": b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 32_000,
    "has announced a body and sent nothing of it": POST + b"Content-Length: 100000000\r\n\r\n",
    "has sent a part of a body, up to `body_memory`": POST
    + b"Content-Length: 1000000\r\n\r\n"
    + b"x" * 262_000,
    "has sent more of a body than that": POST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 300_000,
    "does not read a response that comes in pieces": PIECES,
    "does not read a response of one large piece": encode("GET", f"/whole?size={4 << 20}"),
    "does not read, and has sent further requests": PIECES + encode("GET", "/") * 1500,
}


def bounds() -> dict[str, tuple[int, int]]:
    """What the connection does -> (KiB, descriptors), as the page says."""
    rows = re.findall(
        r"^\| (.+?) \| (\d+) \| (\d+) \| .+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name: (int(kib), int(descriptors)) for name, kib, descriptors in rows}


def test_every_row_of_the_page_is_tested() -> None:
    assert list(bounds()) == list(ROWS)


@pytest.mark.parametrize("threads", [1, 4], ids=["inline", "threads"])
@pytest.mark.parametrize("row", ROWS)
def test_a_connection_costs_no_more_than_the_page_says(
    serve: ServerFactory, measured: Measured, row: str, threads: int
) -> None:
    need_descriptors()
    most_kib, most_descriptors = bounds()[row]
    server = serve("probe:app", threads=threads, settings={"requests": FAR})
    (worker,) = server.workers()
    for _ in range(20):
        assert server.get("/").status == 200
    descriptors = settled(lambda: open_descriptors(worker), "a number of descriptors")
    memory = resident_kib(worker)
    with crowd(server) as clients:
        for sock in clients.join(COUNT, receive_buffer=4096):
            sock.setblocking(True)
            sock.sendall(ROWS[row])
        eventually(lambda: open_descriptors(worker) >= descriptors + COUNT, "the connections")
        grown = settled(lambda: resident_kib(worker), "memory") - memory
        each_kib = grown / COUNT
        each_descriptors = (open_descriptors(worker) - descriptors) / COUNT
    measured(
        f"{each_kib:.1f} KiB (bound {most_kib}), {each_descriptors:.2f} descriptors (bound {most_descriptors})"
    )
    assert each_kib <= most_kib
    assert each_descriptors <= most_descriptors
    wait_until_gone([worker], descriptors)
