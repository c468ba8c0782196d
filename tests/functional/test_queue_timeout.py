"""Requests that waited too long are turned away: wherever they waited, and only those."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.deadline import SLOWNESS
from support.http import encode
from support.server import Server, ServerFactory

LIMIT_S = 0.5 * SLOWNESS
BUSY_S = 3 * LIMIT_S

Start = Callable[..., Server]


@pytest.fixture
def shedding(serve: ServerFactory) -> Start:
    def start(threads: int = 1, limit_s: float = LIMIT_S, **options: object) -> Server:
        settings = {"requests": {"queue_timeout": limit_s, "slow": 0}, **options}
        return serve("stuck:app", threads=threads, settings=settings)

    return start


def test_a_new_connection_that_waited_in_the_backlog(shedding: Start) -> None:
    """The worker is busy and does not accept: the kernel knows since when the request is there."""
    server = shedding(limit_s=LIMIT_S)
    mark = server.mark()
    with server.connect() as first, server.connect() as second:
        first.send(encode("GET", f"/quick?s={BUSY_S}"))
        time.sleep(0.2 * LIMIT_S)  # it has been taken
        second.send(encode("GET", "/quick"))
        refused = second.read_response()
        assert first.read_response().body == b"done"
        assert (refused.status, refused.body) == (503, b"503 Service Unavailable\n")
        assert refused.header("Retry-After") == str(math.ceil(LIMIT_S))
        # The connection lives on, and a request that did not wait is served.
        assert second.get("/quick").body == b"done"
    assert server.wait_for_event("requests_shed", after=mark)["count"] == "1"


def test_a_later_request_of_a_connection_that_waited_unread(shedding: Start) -> None:
    server = shedding()
    with server.connect() as first, server.connect() as second:
        assert second.get("/quick").body == b"done"
        first.send(encode("GET", f"/quick?s={BUSY_S}"))
        time.sleep(0.2 * LIMIT_S)
        second.send(encode("GET", "/quick"))
        assert second.read_response().status == 503
        assert first.read_response().status == 200


def test_requests_that_waited_for_a_thread(shedding: Start) -> None:
    """Connections that are open already are read while all threads are busy: their requests wait in the executor."""
    server = shedding(threads=2)
    with ThreadPoolExecutor(2) as clients, server.connect() as late:
        assert late.get("/quick").body == b"done"
        busy = [clients.submit(server.get, f"/quick?s={BUSY_S}") for _ in range(2)]
        time.sleep(0.3 * LIMIT_S)
        late.send(encode("GET", "/quick"))
        assert late.read_response().status == 503
        assert [each.result().status for each in busy] == [200, 200]


def test_who_waited_less_is_served(shedding: Start) -> None:
    server = shedding(limit_s=60 * SLOWNESS)
    with server.connect() as first, server.connect() as second:
        first.send(encode("GET", f"/quick?s={0.3 * SLOWNESS}"))
        second.send(encode("GET", "/quick"))
        assert second.read_response().body == b"done"
        assert first.read_response().body == b"done"


def test_a_slow_sender_has_not_waited(shedding: Start) -> None:
    """What counts is when the request was complete, not when it began."""
    server = shedding()
    with server.connect() as connection:
        request = encode("GET", "/quick")
        connection.send(request[:10])
        time.sleep(2 * LIMIT_S)
        connection.send(request[10:])
        assert connection.read_response().body == b"done"


def test_an_idle_connection_has_not_waited(shedding: Start) -> None:
    server = shedding()
    with server.connect() as connection:
        assert connection.get("/quick").body == b"done"
        time.sleep(2 * LIMIT_S)
        assert connection.get("/quick").body == b"done"


def test_without_the_limit_they_wait_however_long(shedding: Start) -> None:
    server = shedding(limit_s=0)
    with server.connect() as first, server.connect() as second:
        first.send(encode("GET", f"/quick?s={BUSY_S}"))
        second.send(encode("GET", "/quick"))
        assert second.read_response().body == b"done"
        assert first.read_response().body == b"done"


def test_the_refusal_is_in_the_access_log(shedding: Start) -> None:
    server = shedding(log={"access": "stdout", "access_format": "{request} {status}"})
    with server.connect() as first, server.connect() as second:
        first.send(encode("GET", f"/quick?s={BUSY_S}"))
        time.sleep(0.2 * LIMIT_S)
        second.send(encode("GET", "/quick?refused"))
        assert second.read_response().status == 503
        assert first.read_response().status == 200
    server.out.wait_until(
        lambda: any("GET /quick?refused HTTP/1.1 503" in line for line in server.out.lines), "the access line"
    )
